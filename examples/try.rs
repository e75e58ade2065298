use qdqc::{compile::*, source::Library};
struct Disk;
impl Library for Disk {
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let base = std::path::Path::new(from).parent().unwrap();
        for c in [base.join(path), std::path::Path::new("specs").join(path)] {
            if let Ok(t) = std::fs::read_to_string(&c) {
                let c = std::fs::canonicalize(c).unwrap();
                return Ok((c.display().to_string(), t));
            }
        }
        Err("no file".into())
    }
}
fn main() {
    for p in std::env::args().skip(1) {
        let t = std::fs::read_to_string(&p).unwrap();
        let now = std::time::Instant::now();
        let (prog, d) = load(&p, &t, &Disk);
        let e1 = now.elapsed();
        for x in d.iter() {
            println!(
                "{} {} at {:?} [{}]",
                x.code.0,
                x.message,
                x.span.map(|s| prog.sources.position(s)),
                x.label
            );
        }
        let (g, d) = compile(&prog, &Options::default(), true);
        let e2 = now.elapsed();
        for x in d.iter() {
            println!(
                "{} {} at {:?} [{}] {:?} {:?}",
                x.code.0,
                x.message,
                x.span.map(|s| prog.sources.position(s)),
                x.label,
                x.notes,
                x.help
            );
        }
        if let Some(g) = g {
            println!(
                "{p}: {} nodes {} quantizers {} sites; parse {e1:?} total {e2:?}",
                g.nodes.len(),
                g.quantizers.len(),
                g.sites.len()
            );
            if std::env::var("DUMP").is_ok() {
                println!("{}", qdqc::graph::print::text(&g));
            }
        }
    }
}
