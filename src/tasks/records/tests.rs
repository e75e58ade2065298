use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::io::{self, Cursor};

fn read(text: &[u8], format: Option<Format>, columns: &str) -> Result<Vec<Result<Record, Problem>>, Failure> {
    let columns = if columns.is_empty() { Columns::default() } else { columns.parse()? };
    Ok(Records::read(Box::new(Cursor::new(text.to_vec())), "in", format, columns)?.collect())
}

/// `line:text|pair|choices`, or `line!message` for a problem.
fn shown(text: &str, format: Format, columns: &str) -> Vec<String> {
    let show = |item: Result<Record, Problem>| match item {
        Ok(r) => {
            format!("{}:{}|{}|{}", r.line, r.text.joined(), r.pair.unwrap_or_default(), r.choices.join("+"))
        }
        Err(p) => format!("{}!{}", p.line, p.failure),
    };
    read(text.as_bytes(), Some(format), columns).unwrap().into_iter().map(show).collect()
}

fn refused(text: &str, format: Format, columns: &str) -> String {
    read(text.as_bytes(), Some(format), columns).unwrap_err().to_string()
}

#[test]
fn jsonl_goes_on_after_bad_lines() {
    let text = "\u{feff}{\"text\": \"a\"}\r\n\r\n{\"text\": 3}\n{\"text\"\n[1]\n{\"other\": 1}\n{\"question\": \"q\", \"context\": \"c\"}";
    assert_eq!(
        shown(text, Format::Jsonl, ""),
        [
            "1:a||",
            "3!field `text` holds a number where text belongs",
            "4!the line is not JSON: EOF while parsing an object at column 7",
            "5!the line is not a JSON object",
            "6!the record has no text, only `other`",
            "7:q|c|",
        ]
    );
}

#[test]
fn other_fields_stay_with_the_record() {
    let text = r#"{"id": "x7", "tokens": ["New", "York"], "gold": [1, 2], "choices": ["a", "b"]}"#;
    let record = read(text.as_bytes(), None, "").unwrap().remove(0).unwrap();
    assert_eq!(record.text, Text::Words(vec!["New".into(), "York".into()]));
    assert_eq!(record.choices, ["a", "b"]);
    assert_eq!(Value::Object(record.fields), json!({"id": "x7", "gold": [1, 2]}));
}

#[test]
fn csv_is_quoted_and_counts_lines() {
    let text = "id,sentence1,sentence2\r\n1,\"a, \"\"b\"\"\",c\r\n\r\n2,\"two\r\n\r\nlines\",d\r\n3,e\r\n4,f\"g,\"\"\r\n";
    assert_eq!(
        shown(text, Format::Csv, ""),
        ["2:a, \"b\"|c|", "4:two\n\nlines|d|", "7!the line has 2 columns, the header has 3", "8:f\"g||"]
    );
    let unclosed = "text\na\n\"b\nc\n";
    assert_eq!(shown(unclosed, Format::Csv, ""), ["2:a||", "3!a quoted cell begins here and does not end"]);
}

#[test]
fn tsv_knows_no_quotes() {
    assert_eq!(shown("sentence\tlabel\n\"a\t1\n", Format::Tsv, ""), ["2:\"a||"]);
}

#[test]
fn columns_are_named_or_numbered() {
    assert_eq!(shown("a\tb\nx\ty\n", Format::Tsv, "text=b,pair=a"), ["2:y|x|"]);
    assert_eq!(shown("0\tp\te1\te2\n", Format::Tsv, "text=2,choices=3+4"), ["1:p||e1+e2"]);
    assert_eq!(shown("sent1,ending1,ending0\np,b,a\n", Format::Csv, ""), ["2:p||a+b"]);
    assert_eq!(
        refused("a\tb\nx\ty\n", Format::Tsv, ""),
        "`in` has no column that is known to be a text; its columns are `a`, `b`"
    );
    assert_eq!(
        refused("a\tb\nx\ty\n", Format::Tsv, "text=verse"),
        "`in` has no column `verse`; its columns are `a`, `b`"
    );
    assert_eq!(shown("x\n", Format::Tsv, "text=2"), ["1!the record has no field `2`, only `1`"]);
    for wrong in ["text", "pair=a", "text=", "verse=a"] {
        assert_eq!(wrong.parse::<Columns>().unwrap_err().exit_code(), 2, "{wrong}");
    }
}

#[test]
fn what_is_right_is_found_or_named() {
    let gold = |text: &str, format: Format, columns: &str| -> Vec<Value> {
        let records = read(text.as_bytes(), Some(format), columns).unwrap().into_iter().map(Result::unwrap);
        records.map(|record| record.gold.unwrap_or_default()).collect()
    };
    assert_eq!(gold("sentence\tlabel\na\t1\n", Format::Tsv, ""), [json!("1")]);
    assert_eq!(gold("x\ty\na\t1\n", Format::Tsv, "text=x,label=y"), [json!("1")]);
    assert_eq!(gold("text\ty\na\t1\n", Format::Tsv, "label=y"), [json!("1")]);
    assert_eq!(gold("a\t1\n", Format::Tsv, "text=1,label=2"), [json!("1")]);
    let lines = "{\"text\": \"a\", \"label\": null}\n{\"text\": \"a\", \"labels\": [1]}\n";
    assert_eq!(gold(lines, Format::Jsonl, ""), [Value::Null, json!([1])]);
    assert_eq!(
        shown("a\t1\n", Format::Tsv, "text=1,label=3"),
        ["1!the record has no field `3`, only `1`, `2`"]
    );
    assert_eq!(
        refused("text,lable\na,1\n", Format::Csv, "text=text,label=label"),
        "`in` has no column `label`; its columns are `text`, `lable`; did you mean `lable`?"
    );
}

#[test]
fn conll_is_read_by_sentence() {
    let sentences = |text: &str| -> Vec<String> {
        let show = |item: Result<Record, Problem>| match item {
            Ok(r) => format!("{}:{}|{}", r.line, r.text.joined(), r.gold.unwrap_or_default()),
            Err(p) => format!("{}!{}", p.line, p.failure),
        };
        read(text.as_bytes(), Some(Format::Conll), "").unwrap().into_iter().map(show).collect()
    };
    let text = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\n#\tO\r\nof the\tB-LOC\r\n \nx\ny";
    assert_eq!(
        sentences(text),
        ["3:EU rejects|[\"B-ORG\",\"O\"]", "7:# of the|[\"O\",\"B-LOC\"]", "10:x y|null"]
    );
    assert_eq!(
        sentences("a O\nb\n\nc O\n"),
        ["2!the line has no tag, unlike those above it in its sentence", "4:c|[\"O\"]"]
    );
    assert_eq!(refused("-DOCSTART- O\n", Format::Conll, ""), "`in` has no sentences");
}

#[test]
fn squad_is_read_by_question() {
    let text = json!({"version": "2.0", "data": [{"title": "T", "paragraphs": [
        {"context": "c", "qas": [
            {"id": "x", "question": "q", "answers": [{"text": "c", "answer_start": 0}], "is_impossible": false},
            {"id": "y", "answers": []},
        ]},
        {"context": "d", "qas": [{"id": "z", "question": "r", "answers": []}]},
    ]}]});
    let text = format!("\u{feff}{text}");
    assert_eq!(
        shown(&text, Format::Squad, ""),
        ["1:q|c|", "2!`question` is missing, or is no text", "3:r|d|"]
    );
    let first = read(text.as_bytes(), Some(Format::Squad), "").unwrap().remove(0).unwrap();
    assert_eq!(first.gold, Some(json!([{"text": "c", "answer_start": 0}])));
    assert_eq!((&first.fields["id"], &first.fields["title"]), (&json!("x"), &json!("T")));
    assert_eq!(refused("{\"data\": []}", Format::Squad, ""), "`in` has no questions");
    assert_eq!(
        refused("{\"data\": [{}]}", Format::Squad, ""),
        "`in` is not laid out as SQuAD's JSON is: missing field `paragraphs` at line 1, column 12"
    );
    assert!(refused("{\"text\": 1}\n{}", Format::Squad, "").contains("missing field `data`"));
    assert_eq!(
        refused("{\"data\": []}\n{}", Format::Squad, ""),
        "`in` is not one JSON document: trailing characters at line 2, column 1"
    );
}

#[test]
fn files_without_records_are_refused() {
    assert_eq!(refused("", Format::Jsonl, ""), "`in` is empty");
    assert_eq!(refused("\u{feff}\n  \n", Format::Txt, ""), "`in` is empty");
    assert_eq!(refused(" ", Format::Squad, ""), "`in` is empty");
    assert_eq!(refused("text\n", Format::Csv, ""), "`in` has a header and no records");
}

#[test]
fn a_line_that_is_no_text_is_skipped() {
    let items = read(b"good\nb\xffd\nlast", Some(Format::Txt), "").unwrap();
    let lines: Vec<_> = items.iter().map(|item| item.as_ref().map(|r| r.line).map_err(|p| p.line)).collect();
    assert_eq!(lines, [Ok(1), Err(2), Ok(3)]);
}

#[test]
fn a_line_too_long_is_skipped() {
    let endless = io::repeat(b'x').take(lines::LONGEST as u64 + 9).chain(&b"\nnext\n"[..]);
    let records = Records::read(Box::new(endless), "in", Some(Format::Txt), Columns::default()).unwrap();
    let items: Vec<_> = records.map(|item| item.map(|r| (r.line, r.text)).map_err(|p| p.line)).collect();
    assert_eq!(items, [Err(1), Ok((2, Text::Plain("next".into())))]);
}

#[test]
fn a_failing_disk_ends_the_records() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let source = Box::new((&b"one\n"[..]).chain(Fails));
    let items: Vec<_> = Records::read(source, "in", Some(Format::Txt), Columns::default()).unwrap().collect();
    assert_eq!(items.len(), 2);
    assert_eq!(items[1].as_ref().unwrap_err().failure.exit_code(), 3);
}

#[test]
fn formats_are_found() {
    assert_eq!(Format::from_path(Path::new("a/b.TSV")).unwrap(), Format::Tsv);
    assert_eq!(Format::from_path(Path::new("b.ndjson")).unwrap(), Format::Jsonl);
    assert_eq!(Format::from_path(Path::new("b.json")).unwrap(), Format::Squad);
    assert_eq!(Format::from_path(Path::new("b.conll")).unwrap(), Format::Conll);
    assert_eq!(Format::from_path(Path::new("b.parquet")).unwrap_err().exit_code(), 2);
    let text = |text: &str| read(text.as_bytes(), None, "").unwrap().remove(0).unwrap().text;
    assert_eq!(text("\n {\"text\": \"a\"}"), Text::Plain("a".into()));
    assert_eq!(text("a{"), Text::Plain("a{".into()));
}

#[test]
fn texts_pair_up() {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let records: Vec<_> =
        Records::texts(list(&["a", "b"]), list(&["c", "d"]), vec![]).unwrap().map(Result::unwrap).collect();
    assert_eq!((records[1].line, records[1].pair.as_deref()), (2, Some("d")));
    assert_eq!(Records::texts(list(&["a", "b"]), list(&["c"]), vec![]).unwrap_err().exit_code(), 2);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, format in 0..7usize, numbered: bool) {
        let format = Format::ALL.get(format).map(|(format, _)| *format);
        if let Ok(items) = read(&bytes, format, if numbered { "text=1,pair=2" } else { "" }) {
            let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(!items.is_empty() && items.len() <= newlines + 1);
        }
    }

    #[test]
    fn what_the_csv_crate_writes_is_read(cells in prop::collection::vec("[a,\"\n é]{0,6}x", 2..9)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["text", "pair"]).unwrap();
        for row in cells.chunks_exact(2) {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let read = read(&bytes, Some(Format::Csv), "").unwrap().into_iter().map(Result::unwrap);
        let read: Vec<String> = read.flat_map(|r| [r.text.joined().into_owned(), r.pair.unwrap()]).collect();
        prop_assert_eq!(&read[..], &cells[..cells.len() / 2 * 2]);
    }
}
