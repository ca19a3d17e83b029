use super::*;
use crate::weights::Weights;

fn query(request: &str) -> Query {
    analyse(request, &Weights::built_in().unwrap().query)
}

fn weight(query: &Query, term: &str) -> f64 {
    query.terms.iter().find(|found| found.text == term).map_or(0.0, |found| found.weight)
}

#[test]
fn parts_weigh_differently() {
    let query = query("Parser crash\n\nthe printer is slow\n\n```\nlexer\n```\n");
    assert_eq!(
        (weight(&query, "parser"), weight(&query, "printer"), weight(&query, "lexer")),
        (2.0, 1.0, 0.5)
    );
    assert_eq!(weight(&query, "the"), 0.0);
}

#[test]
fn code_like_words_and_compounds() {
    let query = query("wrong line ending in `is` and write_all(x)");
    assert_eq!(weight(&query, "linend"), 2.0);
    assert!(query.terms.iter().find(|term| term.text == "linend").unwrap().is_compound);
    assert_eq!(weight(&query, "is"), 2.0, "a stop word in backticks is meant");
    assert_eq!(weight(&query, "writall"), 2.0);
    assert!(query.names.contains(&("write_all".to_owned(), 1.0)));
}

#[test]
fn flags_are_names_and_a_short_request_keeps_its_words() {
    let flag = query("add a --version flag, not –version or a-version");
    assert_eq!(weight(&flag, "version"), 2.0);
    let color = query("ignore --no-color");
    assert_eq!((weight(&color, "color"), weight(&color, "no")), (2.0, 2.0));
    assert!(weight(&query("which version is it"), "version") > 0.0);
    assert_eq!(weight(&query("which version is it"), "is"), 0.0);
    assert_eq!(weight(&query("the parser and printer of this version"), "version"), 0.0);
}

#[test]
fn single_letters_begin_names() {
    assert_eq!(weight(&query("handling of v-if"), "vif"), 2.0);
    assert_eq!(weight(&query("handling of v-if"), "v"), 0.0);
}

#[test]
fn frames_are_innermost_first() {
    let python = query(
        "boom\nTraceback (most recent call last):\n  File \"/x/a/b.py\", line 3, in f\n    g()\n  File \"/x/a/c.py\", line 7\nValueError: no",
    );
    let lines: Vec<_> =
        python.frames.iter().map(|frame| (frame.parts.last().unwrap().as_str(), frame.line)).collect();
    assert_eq!(lines, [("c.py", 7), ("b.py", 3)]);
    let java = query("boom\n\tat com.x.Foo.bar(Foo.java:12)\n\tat com.x.Main.main(Main.java:3)");
    assert_eq!(java.frames[0], Frame { parts: vec!["Foo.java".into()], line: 12 });
    assert_eq!(
        query("error\n --> src/x.rs:3:9").frames[0],
        Frame { parts: vec!["src".into(), "x.rs".into()], line: 3 }
    );
}

#[test]
fn paths_modules_and_what_is_neither() {
    let paths = query("see ./src/main.rs, a.b.Thing and version 1.2.3 at 10:30").paths;
    assert!(
        paths.contains(&Mention { parts: vec!["src".into(), "main.rs".into()], kind: MentionKind::Path })
    );
    assert!(paths.contains(&Mention {
        parts: vec!["a".into(), "b".into(), "Thing".into()],
        kind: MentionKind::Module
    }));
    assert!(query("at 10:30 and 5:1").frames.is_empty());
}

#[test]
fn comments_of_templates_are_dropped() {
    assert_eq!(weight(&query("title\n<!-- describe\nyour parser -->\nlexer"), "parser"), 0.0);
}

#[test]
fn the_first_line_says_what_kind_of_file_is_meant() {
    let about = |request: &str| {
        let about = query(request).about;
        (about.tests, about.documents, about.configuration)
    };
    assert_eq!(about("a flaky test of the parser"), (true, false, false));
    assert_eq!(about("missing validation in the oauth example"), (false, true, false));
    assert_eq!(about("bump a dependency in CI"), (false, false, true));
    assert_eq!(
        about("the parser is slow\n\nsee tests, docs, examples and configuration"),
        (false, false, false)
    );
}

#[test]
fn numbers_of_issues_are_no_words() {
    assert_eq!(weight(&query("switch parsers (#6061), see #12, not a #define"), "6061"), 0.0);
    assert!(weight(&query("accept #define in 6061"), "6061") > 0.0);
}

#[test]
fn boilerplate_is_dropped_but_not_from_the_title() {
    let terms = query("parser crash\n\nnumpy 1.21.0\n- [x] printer").terms;
    let left: Vec<_> = terms.iter().map(|term| term.text.as_str()).collect();
    assert_eq!(left, ["crash", "parser", "parsercrash"]);
    assert!(weight(&query("numpy 1.21.0"), "numpi") > 0.0);
}

#[test]
fn what_an_example_imports_is_not_named() {
    let example = "boom\n```\nimport numpy.linalg\n>>> from a.b import c\nd.e.f()\n```\nsee g.h.i";
    let modules: Vec<_> = query(example)
        .paths
        .into_iter()
        .filter(|mention| mention.kind == MentionKind::Module)
        .map(|mention| mention.parts.join("."))
        .collect();
    assert_eq!(modules, ["d.e.f", "g.h.i"]);
}

#[test]
fn names_of_an_example_count_half() {
    let names = query("Boom in `parse_line` of Printer\n```\nparse_line(read_all(Reader()))\n```").names;
    let expected = [("Reader", 0.5), ("parse_line", 1.0), ("read_all", 0.5)];
    assert_eq!(names, expected.map(|(name, weight)| (name.to_owned(), weight)));
}

proptest::proptest! {
    #[test]
    fn any_request_is_readable(request in "(.|\n){0,300}") {
        let query = query(&request);
        assert!(query.terms.is_sorted_by(|a, b| a.text < b.text));
        assert!(query.terms.iter().all(|term| term.weight > 0.0));
    }
}
