//! A calibration that is stopped, and goes on.

use super::*;

#[cfg(unix)]
#[test]
fn a_killed_calibration_resumes() {
    let place = Place::new();
    let texts: String = (0..2000).map(|at| format!("the king says {at} and the queen says {at}\n")).collect();
    place.write("many.txt", &texts);
    place.calibrate("--input many.txt --max-samples 40 -o whole").succeeded();
    let kill = |signal: &str| {
        let line =
            format!("calibrate sentence-embedding -c {TINY} --batch 2 --input many.txt -o killed --force");
        let line: Vec<&str> = line.split(' ').collect();
        let mut child = start(command(&line).within(place.folder.path()));
        while !place.path("killed/statistics.safetensors").exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended without statistics");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let sent =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap()
    };
    assert_eq!(kill("-KILL").status.code(), None);
    assert!(!place.path("killed/model.safetensors").exists());
    let unfinished = place.calibrate("--merge killed/statistics.safetensors -o no").failed(1);
    assert!(unfinished.contains("was interrupted after") && unfinished.contains("--resume"), "{unfinished}");
    let earlier = place.calibrate("--input many.txt -o killed").failed(2);
    assert!(earlier.contains("--resume") && earlier.contains("--force"), "{earlier}");
    for (flags, what) in [
        ("--input texts.txt", "another data"),
        ("--input many.txt --max-samples 7", "another number of records"),
        ("--input many.txt --parity", "another way of counting"),
    ] {
        let message = place.calibrate(&format!("{flags} -o killed --resume")).failed(1);
        assert!(message.contains(what) && message.contains("--force"), "{message}");
    }
    place.write("fewer.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear under Encoder"));
    let message = place.calibrate("--input many.txt --recipe fewer.qdq -o killed --resume").failed(1);
    assert!(message.contains("another set of quantizers"), "{message}");

    fs::remove_dir_all(place.path("killed")).unwrap();
    let output = kill("-INT");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("interrupted after") && said.contains("--resume"), "{said}");
    assert!(!place.path("killed/model.safetensors").exists());
}

/// From any batch on: what an interrupted run left is what a shorter one counted.
#[cfg(unix)]
#[test]
fn a_resumed_calibration_gives_what_an_uninterrupted_one_gives() {
    let place = Place::new();
    place.calibrate("--input texts.txt -o whole").succeeded();
    let line = format!("calibrate sentence-embedding -c {TINY} --batch 2 --input texts.txt -o killed");
    let mut kills = 0;
    // Killed at once each time that it has come further, until it is done.
    loop {
        let before =
            fs::metadata(place.path("killed/statistics.safetensors")).and_then(|file| file.modified()).ok();
        let flags = if before.is_some() { format!("{line} --resume") } else { line.clone() };
        let flags: Vec<&str> = flags.split(' ').collect();
        let mut child = start(command(&flags).within(place.folder.path()));
        let done = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let now = fs::metadata(place.path("killed/statistics.safetensors"))
                .and_then(|file| file.modified())
                .ok();
            if now != before {
                child.kill().unwrap();
                break child.wait().unwrap().code().map(|_| child.wait().unwrap());
            }
            std::thread::sleep(std::time::Duration::from_micros(300));
        };
        match done {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => kills += 1,
        }
    }
    assert!(kills > 0);
    assert!(place.calibrated("whole") == place.calibrated("killed"), "after {kills} kills");
    place.calibrate("--input texts.txt -o killed --resume").succeeded();
    assert!(place.calibrated("whole") == place.calibrated("killed"));
    let names: Vec<_> =
        fs::read_dir(place.path("killed")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let left = names.iter().filter(|name| !name.to_str().unwrap().starts_with(".qdqc-")).count();
    assert_eq!(left, 6, "{names:?}");
}
