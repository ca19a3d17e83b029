//! Files in other encodings, and files of which only the beginning is read.

use countersign_index::{HEAD_BYTES, LARGEST_FILE};

use crate::support::{Tree, context, ranked, update};

/// Encodes with the encoding of this name, or fails.
fn encoded(name: &str, text: &str) -> Vec<u8> {
    let encoding = encoding_rs::Encoding::for_label(name.as_bytes()).unwrap();
    let (bytes, _, has_errors) = encoding.encode(text);
    assert!(!has_errors, "{name}");
    bytes.into_owned()
}

#[test]
fn old_encodings_are_detected() {
    let japanese = "# 設定ファイルを読み込む関数です。文字コードを確認してください。\ndef load(): pass\n";
    let chinese = "# 读取配置文件的函数。请检查字符编码是否正确。\ndef load(): pass\n";
    let korean = "# 설정 파일을 읽는 함수입니다. 문자 인코딩을 확인하십시오.\ndef load(): pass\n";
    let russian = "# Функция читает файл настроек. Проверьте кодировку символов.\ndef load(): pass\n";
    let french = "# Crée le café à côté de la forêt, où l'été s'achève.\ndef load(): pass\n";
    let tree = Tree::empty();
    for (path, encoding, text) in [
        ("a.py", "shift_jis", japanese),
        ("b.py", "euc-jp", japanese),
        ("c.py", "gb18030", chinese),
        ("d.py", "euc-kr", korean),
        ("e.py", "windows-1251", russian),
        ("f.py", "koi8-r", russian),
        ("g.py", "windows-1252", french),
    ] {
        tree.write(path, encoded(encoding, text));
    }
    let mut index = tree.open();
    assert_eq!(update(&mut index).skipped, []);
    let found: Vec<String> = index.files().unwrap().into_iter().map(|file| file.encoding).collect();
    assert_eq!(found, ["shift_jis", "euc-jp", "gb18030", "euc-kr", "windows-1251", "koi8-u", "windows-1252"]);
    assert_eq!(ranked(&context(&index, "設定ファイル", 400)), ["a.py", "b.py"]);
    assert_eq!(ranked(&context(&index, "проверьте кодировку", 400)), ["e.py", "f.py"]);
    assert_eq!(ranked(&context(&index, "où est la forêt", 400)), ["g.py"]);
    assert!(index.files().unwrap().iter().all(|file| file.language.as_deref() == Some("python")));
}

#[test]
fn wide_text_needs_no_mark_where_it_is_evident() {
    let tree = Tree::empty();
    let text = "pub fn reader() -> u32 { 4 }\r\n";
    tree.write("little.rs", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    tree.write("big.rs", text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    tree.write("marked.rs", [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat());
    let numbers: Vec<u8> = (0..2_000u16).flat_map(u16::to_le_bytes).collect();
    tree.write("numbers.dat", numbers);
    let index = tree.index();
    let found: Vec<(String, String)> =
        index.files().unwrap().into_iter().map(|file| (file.path, file.encoding)).collect();
    let expected = [("big.rs", "utf-16be"), ("little.rs", "utf-16le"), ("marked.rs", "utf-8")];
    assert_eq!(found, expected.map(|(path, encoding)| (path.to_owned(), encoding.to_owned())));
    for (path, _) in expected {
        assert_eq!(index.outline(path).unwrap()[0].name, "reader", "{path}");
    }
}

#[test]
fn a_large_file_is_read_to_the_end_of_a_line() {
    let tree = Tree::empty();
    let line = "fn filler() { let zebra = 1; }\n";
    let count = LARGEST_FILE as usize / line.len() + 1;
    tree.write("large.rs", format!("fn first() {{}}\n{}fn last() {{}}\n", line.repeat(count)));
    let wide = format!("\u{feff}{}", "ä\u{10348}\n".repeat(count * 4));
    tree.write("wide.txt", wide.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    tree.write("whole.txt", "w".repeat(LARGEST_FILE as usize));
    tree.git(&["init", "-q"]);
    tree.commit("all", 1_700_000_100);
    let mut index = tree.open();
    let report = update(&mut index);
    assert_eq!((report.files, report.heads), (3, 2));
    assert_eq!(report.skipped, []);
    let files = index.files().unwrap();
    let large = &files[0];
    assert!(large.indexed > HEAD_BYTES - 100 && large.indexed <= HEAD_BYTES);
    assert!(large.bytes > LARGEST_FILE);
    assert_eq!((large.syntax_errors, large.git.as_deref()), (0, None), "what was not read is not judged");
    let outline = index.outline("large.rs").unwrap();
    assert_eq!(outline[0].name, "first");
    assert!(outline.iter().all(|symbol| symbol.name != "last"));
    let found = context(&index, "zebra", 400);
    assert!(
        found.ledger.candidates[0].labels[0].starts_with("only its first "),
        "{:?}",
        found.ledger.candidates[0]
    );
    assert!(!found.pack.snippets.is_empty());
    assert_eq!(update(&mut index).updated, 0);
    // Another size is another file.
    tree.write("large.rs", format!("fn first() {{}}\n{}", line.repeat(count + 7)));
    assert_eq!(update(&mut index).updated, 1);
}
