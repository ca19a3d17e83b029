//! Requests in other scripts than Latin, and in other forms of the same characters.

use crate::support::{Tree, context, ranked};

/// Files that speak of one thing each, in several languages, in comments, strings and names.
fn tree() -> Tree {
    let tree = Tree::empty();
    for (path, text) in [
        ("zh/login.py", "# 验证用户登录的密码，失败三次后锁定账户。\ndef f(): pass\n"),
        ("zh/export.py", "# 将报表导出为电子表格文件。\ndef f(): pass\n"),
        (
            "ja/login.py",
            "# ユーザーのパスワードを検証し、失敗したらアカウントをロックする。\ndef f(): pass\n",
        ),
        ("ja/export.py", "# 帳票を表計算ファイルに書き出す。\ndef f(): pass\n"),
        ("ko/login.py", "# 사용자의 비밀번호를 확인하고 실패하면 계정을 잠급니다.\ndef f(): pass\n"),
        ("ko/export.py", "# 보고서를 스프레드시트 파일로 내보냅니다.\ndef f(): pass\n"),
        ("ru/login.py", "# Проверяет пароль пользователя и блокирует учётную запись.\ndef f(): pass\n"),
        ("ru/export.py", "# Выгружает отчёт в электронную таблицу.\ndef f(): pass\n"),
        ("de/login.py", "# Prüft das Passwort des Benutzers und sperrt das Konto.\ndef f(): pass\n"),
        ("de/export.py", "# Schreibt den Bericht als Tabelle für Großkunden.\ndef f(): pass\n"),
        ("th/login.py", "# ตรวจสอบรหัสผ่านของผู้ใช้และล็อกบัญชี\ndef f(): pass\n"),
        ("th/export.py", "# ส่งออกรายงานเป็นไฟล์ตาราง\ndef f(): pass\n"),
        ("hi/login.py", "# उपयोगकर्ता का पासवर्ड जाँचता है और खाता बंद करता है।\ndef f(): pass\n"),
        ("hi/export.py", "# रिपोर्ट को तालिका में लिखता है।\ndef f(): pass\n"),
        ("README.md", "# Login and export\n\npassword, account, report, spreadsheet\n"),
    ] {
        tree.write(path, text);
    }
    tree
}

#[test]
fn a_request_finds_the_file_that_speaks_of_it() {
    let tree = tree();
    let index = tree.index();
    for (request, path) in [
        ("用户登录失败后没有锁定账户", "zh/login.py"),
        ("无法导出报表", "zh/export.py"),
        ("パスワードの検証に失敗してもロックされない", "ja/login.py"),
        ("帳票の書き出しが遅い", "ja/export.py"),
        ("비밀번호가 틀려도 계정이 잠기지 않습니다", "ko/login.py"),
        ("스프레드시트로 내보낼 때 오류", "ko/export.py"),
        ("пароль пользователя не проверяет", "ru/login.py"),
        ("отчёт в таблицу пустой", "ru/export.py"),
        ("Konto wird nicht gesperrt, wenn man das Passwort prüft", "de/login.py"),
        ("Bericht für Großkunden ist leer", "de/export.py"),
        ("รหัสผ่านผิดแต่บัญชีไม่ล็อก", "th/login.py"),
        ("ส่งออกรายงานไม่ได้", "th/export.py"),
        ("पासवर्ड गलत है पर खाता बंद नहीं", "hi/login.py"),
        ("तालिका खाली है", "hi/export.py"),
    ] {
        assert_eq!(ranked(&context(&index, request, 400)).first(), Some(&path), "{request}");
    }
}

/// One character may be written as one or as a letter with marks; macOS names files the second way.
#[test]
fn composed_and_decomposed_are_the_same() {
    let decomposed = |text: &str| -> String {
        text.chars()
            .flat_map(|c| match c {
                'é' => vec!['e', '\u{301}'],
                'ü' => vec!['u', '\u{308}'],
                'й' => vec!['и', '\u{306}'],
                '한' => vec!['\u{1112}', '\u{1161}', '\u{11ab}'],
                '글' => vec!['\u{1100}', '\u{1173}', '\u{11af}'],
                'が' => vec!['か', '\u{3099}'],
                c => vec![c],
            })
            .collect()
    };
    for word in ["résumé", "prüfung", "файловый", "한글", "ながい"] {
        let other = decomposed(word);
        assert_ne!(word, other);
        for (written, asked) in [(word, other.as_str()), (&other, word)] {
            let tree = Tree::empty();
            tree.write("content.txt", format!("about {written} here\n"));
            tree.write(&format!("{written}.txt"), "nothing\n");
            tree.write("other.txt", "about something else\n");
            let index = tree.index();
            let found = context(&index, asked, 400);
            let mut paths = ranked(&found);
            paths.sort_unstable();
            let mut expected = ["content.txt".to_owned(), format!("{written}.txt")];
            expected.sort_unstable();
            assert_eq!(paths, expected, "{asked}");
        }
    }
}
