use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

const UNITTEST: &str = r#"F.E
======================================================================
ERROR: test_allergic (allergies_test.AllergiesTest.test_allergic)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/x/allergies_test.py", line 19, in test_allergic
    self.assertIs(Allergies(1).allergic_to("eggs"), True)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/x/allergies.py", line 7, in allergic_to
    return self.score & item
           ~~~~~~~~~~~^~~~~~
TypeError: unsupported operand type(s) for &: 'int' and 'str'

======================================================================
FAIL: test_hyphen (acronym_test.AcronymTest.test_hyphen)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/x/acronym_test.py", line 31, in test_hyphen
    self.assertEqual(abbreviate("Complementary metal-oxide"), "CMO")
AssertionError: 'CM' != 'CMO'
- CM
+ CMO
?   +

======================================================================
FAIL: test_many (acronym_test.AcronymTest.test_many)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/x/acronym_test.py", line 40, in test_many
    self.assertEqual(
AssertionError: Lists differ: ['a'] != ['b']

First differing element 0:

======================================================================
FAIL: test_count (anagram_test.AnagramTest.test_count)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/x/anagram_test.py", line 12, in test_count
    self.assertCountEqual(find("Orchestra", candidates), expected)
AssertionError: Element counts were not equal:
First has 1, Second has 0:  'orchestra'

----------------------------------------------------------------------
Ran 4 tests in 0.001s

FAILED (failures=3, errors=1)
"#;

#[test]
fn unittest_says_what_was_called_what_came_and_what_must_come() {
    assert_eq!(
        digest(UNITTEST, &nothing),
        [
            "`self.assertIs(Allergies(1).allergic_to(\"eggs\"), True)` raised TypeError: unsupported operand type(s) for &: 'int' and 'str', in `return self.score & item` (allergies.py, line 7)",
            "`abbreviate(\"Complementary metal-oxide\")` gave 'CM', but it must give 'CMO'",
            "test_many: ['a'] != ['b']",
            "`find(\"Orchestra\", candidates)` gave 'orchestra' once, but must give it 0 times",
        ]
    );
    let test = |path: &str| {
        let lines = "\n".repeat(39)
            + "        self.assertEqual(\n            split(\"x\"),\n            [\"b\"],\n        )\n";
        (path == "/x/acronym_test.py").then_some(lines)
    };
    assert!(
        digest(UNITTEST, &test).contains(&"`split(\"x\")` gave ['a'], but it must give ['b']".to_owned())
    );
}

#[test]
fn unittest_says_what_stood_in_variables_and_after_what() {
    let output = "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n  File \"/x/t.py\", line 4, in test_a\n    self.assertCountEqual(find(\"Orchestra\", candidates), expected)\nAssertionError: Element counts were not equal:\nFirst has 1, Second has 0:  'orchestra'\nFirst has 0, Second has 2:  'x'\n\n======================================================================\nFAIL: test_b (t.T.test_b)\nTraceback (most recent call last):\n  File \"/x/t.py\", line 10, in test_b\n    self.assertEqual(err.exception.args[0], \"no\")\nAssertionError: 'not' != 'no'\n";
    let test = "def test_a(self):\n    candidates = [\"orchestra\"]\n    expected = [\"x\", \"x\"]\n    self.assertCountEqual(find(\"Orchestra\", candidates), expected)\n\ndef test_b(self):\n    number = 0\n    with self.assertRaises(ValueError) as err:\n        f(number)\n    self.assertEqual(err.exception.args[0], \"no\")\n";
    let told = digest(output, &|_| Some(test.to_owned()));
    assert_eq!(
        must_hold(&told[0]),
        "`find(\"Orchestra\", [\"orchestra\"])` must give [\"x\", \"x\"] in any order"
    );
    assert_eq!(
        told,
        [
            "`find(\"Orchestra\", [\"orchestra\"])` gave 'orchestra' once instead of 0 times; 'x' 0 times instead of 2 times, but it must give [\"x\", \"x\"] in any order",
            "`f(0)` raised ValueError that says 'not', but it must raise ValueError that says 'no'",
        ]
    );
}

#[test]
fn unittest_says_which_error_must_come() {
    let output = "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n  File \"/x/t.py\", line 2, in test_a\n    with self.assertRaises(ValueError) as err:\nAssertionError: ValueError not raised\n";
    let test = "def test_a(self):\n    with self.assertRaises(ValueError) as err:\n        f([5], -3)\n";
    let told = digest(output, &|_| Some(test.to_owned()));
    assert_eq!(told, ["`f([5], -3)` gave no error, but it must raise ValueError"]);
}

#[test]
fn what_unittest_leaves_out_is_told_from_the_test() {
    let output = |line: usize| {
        format!(
            "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n  File \"/x/t.py\", line {line}, in test_a\n    self.assertEqual(sing(1), expected)\nAssertionError: Lists differ: ['1 bottle', [20 chars]'] != ['One bottle', [20 chars]']\n\nFirst differing element 0:\n'1 bottle'\n'One bottle'\n"
        )
    };
    let test = "def test_a(self):\n    expected = ['One bottle', 'And if']\n    self.assertEqual(sing(1), expected)\n\ndef test_b(self):\n    for expected in songs():\n        self.assertEqual(sing(1), expected)\n";
    let source = |_: &str| Some(test.to_owned());
    assert_eq!(
        digest(&output(3), &source),
        ["`sing(1)` gave ['1 bottle', [20 chars]'], but it must give ['One bottle', 'And if']"]
    );
    assert_eq!(digest(&output(7), &source), ["`sing(1)[0]` gave '1 bottle', but it must give 'One bottle'"]);
}

#[test]
fn of_many_failures_some_of_each_function_are_told() {
    let failure = |code: &str, gave: &str, must: &str| {
        format!(
            "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n  File \"/x/t.py\", line 2, in test_a\n    self.assertEqual({code}, {must})\nAssertionError: {gave} != {must}\n====================\n"
        )
    };
    let f = (0..20).map(|n| failure(&format!("f({n})"), "None", "[1]"));
    let output: String = f.chain([failure("a.lst", "1", "2"), failure("a.lst", "2", "3")]).collect();
    let told = digest(&output, &nothing);
    assert_eq!(told[0], "`f` gave None each time, but it must give a list of int");
    assert_eq!(told.len(), 9);
    assert!(told[7].starts_with("`a.lst` gave 1") && told[8].starts_with("`a.lst` gave 2"), "{told:#?}");
}

#[test]
fn pytest_too() {
    let output = "_________ test_plus __________\n\n    def test_plus():\n>       assert plus(1, 2) == 3\nE       assert -1 == 3\nE        +  where -1 = plus(1, 2)\n\ntest_a.py:4: AssertionError\n_________ test_none __________\n\n>       plus(None, 1)\n\na.py:2: \nE       TypeError: unsupported operand\n=== short test summary info ===\n";
    let expected =
        ["`plus(1, 2)` gave -1, but it must give 3", "`plus(None, 1)`: TypeError: unsupported operand"];
    assert_eq!(digest(output, &nothing), expected);
}

#[test]
fn cargo_says_it_with_the_lines_of_the_test() {
    let output = "---- hyphen stdout ----\n\nthread 'hyphen' (123) panicked at tests/acronym.rs:3:5:\nassertion `left == right` failed\n  left: \"CM\"\n right: \"CMO\"\nnote: run with `RUST_BACKTRACE=1`\n\n---- many stdout ----\n\nthread 'many' panicked at tests/acronym.rs:7:5:\nassertion `left == right` failed: many\n  left: [1]\n right: [2]\n\n---- stub stdout ----\nthread 'stub' panicked at src/lib.rs:2:5:\nnot yet implemented\n";
    let test = "#[test]\nfn hyphen() {\n    assert_eq!(abbreviate(\"Comp metal-oxide\"), \"CMO\");\n}\n\nfn check(a: &[u8], expected: &[u8]) {\n    assert_eq!(split(a), expected);\n}\n\n#[test]\nfn many() {\n    check(&[0], &[2]);\n}\n";
    let source = |path: &str| (path == "tests/acronym.rs").then(|| test.to_owned());
    assert_eq!(
        digest(output, &source),
        [
            "hyphen: `abbreviate(\"Comp metal-oxide\")` gave \"CM\", but it must give \"CMO\"",
            "many does `check(&[0], &[2]);`: `split(a)` gave [1], but it must give [2] (tests/acronym.rs, line 7)",
            "stub: not yet implemented",
        ]
    );
    assert_eq!(digest(output, &nothing)[0], "hyphen: left \"CM\", right \"CMO\"");
}

#[test]
fn cargo_says_what_stood_in_variables() {
    let output = "thread 'basic' (7) panicked at tests/a.rs:6:5:\nassertion `left == right` failed\n  left: \"\"\n right: \"PNG\"\n";
    let test = "#[test]\nfn basic() {\n    let input = \"Portable Network\";\n    let output = abbreviate(input);\n    let expected = \"PNG\";\n    assert_eq!(output, expected);\n}\n";
    let expected = "basic: `abbreviate(\"Portable Network\")` gave \"\", but it must give \"PNG\"";
    assert_eq!(digest(output, &|_| Some(test.to_owned())), [expected]);
}

#[test]
fn cargo_says_what_a_panic_in_the_code_was_called_with() {
    let output = "     Running unittests src/lib.rs (target/debug/deps/x-1)\n\nrunning 0 tests\n\n     Running tests/find.rs (target/debug/deps/find-1)\n\n---- empty stdout ----\n\nthread 'empty' (7) panicked at src/lib.rs:3:21:\nattempt to subtract with overflow\n\n---- is_sorted stdout ----\n\nthread 'is_sorted' (8) panicked at tests/find.rs:8:5:\nassertion failed: !sorted(&[2, 1])\n";
    let files = [
        (
            "src/lib.rs",
            "pub fn find(a: &[i32], key: i32) -> Option<usize> {\n    let mut left = 0;\n    let mut right = a.len() - 1;\n    None\n}\n",
        ),
        (
            "tests/find.rs",
            "#[test]\nfn empty() {\n    assert_eq!(find(&[], 1), None);\n}\n\n#[test]\nfn is_sorted() {\n    assert!(!sorted(&[2, 1]));\n}\n",
        ),
    ];
    let source =
        |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
    assert_eq!(
        digest(output, &source),
        [
            "empty does `assert_eq!(find(&[], 1), None);`: attempt to subtract with overflow, in `let mut right = a.len() - 1` (src/lib.rs, line 3)",
            "is_sorted: `sorted(&[2, 1])` gave true, but it must give false",
        ]
    );
    let holds = "empty: `find(&[], 1)` must give None, where there was: attempt to subtract with overflow, in `let mut right = a.len() - 1`";
    assert_eq!(must_hold(&digest(output, &source)[0]), holds);
    assert_eq!(digest(output, &nothing)[0], "empty: attempt to subtract with overflow");
}

#[test]
fn a_test_that_does_not_end_is_told_with_what_it_does() {
    let output = "     Running tests/t.rs (target/debug/deps/t-1)\n\nrunning 2 tests\ntest one ... ok\ntest zero has been running for over 60 seconds\n";
    let text = "#[test]\nfn zero() {\n    assert_eq!(steps(0), None);\n}\n";
    let source = |path: &str| (path == "tests/t.rs").then(|| text.to_owned());
    assert_eq!(digest(output, &source), ["zero does not end. It does `assert_eq!(steps(0), None);`"]);
    assert_eq!(digest(output, &nothing), ["zero does not end"]);
}

#[test]
fn what_must_be_true_is_told_as_a_value() {
    let output = "FAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n  File \"/x/t.py\", line 3, in test_a\n    self.assertFalse(is_leap(1900))\nAssertionError: True is not false\n";
    let expected = "`is_leap(1900)` gave True, but it must give False";
    assert_eq!(digest(output, &nothing), [expected]);
    let output = "____ test_a ____\n\n>       assert not is_leap(1900)\nE       assert not True\nE        +  where True = is_leap(1900)\n";
    assert_eq!(digest(output, &nothing), [expected]);
    // What failed inside of the call is another matter.
    let output = "____ test_a ____\n\n>       assert is_leap(None)\nE       TypeError: not a year\n";
    assert_eq!(digest(output, &nothing), ["`assert is_leap(None)`: TypeError: not a year"]);
}

#[test]
fn what_is_not_understood_is_not_told() {
    for output in [
        "",
        "error[E0308]: mismatched types\n --> src/lib.rs:1:1\n",
        "FAIL: x\n",
        "______ a ______\n",
        "make: *** [all] Error 2",
    ] {
        assert_eq!(digest(output, &nothing), [""; 0], "{output}");
    }
    let long =
        format!("_____ test_a _____\n>       assert f() == 1\nE       assert '{}' == 1\n", "ä".repeat(900));
    assert!(digest(&long, &nothing)[0].chars().count() < 410);
    let many: String = (0..20)
        .map(|n| format!("_____ test_{n} _____\n>       assert f({n}) == 1\nE       assert 2 == 1\n"))
        .collect();
    assert_eq!(digest(&many, &nothing).len(), 8);
}
