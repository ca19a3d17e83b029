//! Requests of every sort find the file that they are about.

use countersign_index::Verdict;

use crate::support::{Tree, context, indexed, ranked};

#[track_caller]
fn leads_to(sort: &str, request: &str, expected: &str) {
    let (_tree, index) = indexed("shop");
    let found = context(&index, request, 1_000);
    let first = ranked(&found).first().copied().unwrap_or("nothing");
    assert_eq!(first, expected, "{sort}: {request}");
    let kept = matches!(found.ledger.candidates[0].verdict, Verdict::Kept { .. });
    assert!(kept, "{sort}: what is best is in the pack");
}

#[test]
fn a_title_or_prose() {
    leads_to("title", "round half up when tax is added", "web/src/price.ts");
    leads_to(
        "prose",
        "Wrong amounts\n\nWhen I put the same item twice into the cart, its amount is not raised.",
        "web/src/cart.ts",
    );
}

#[test]
fn an_identifier_in_any_spelling() {
    for request in ["addToCart is slow", "add_to_cart is slow", "`AddToCart` is slow", "add to cart is slow"]
    {
        leads_to("identifier", request, "web/src/cart.ts");
    }
    leads_to("method", "Invoice.getTotal() overflows", "core/com/shop/Invoice.java");
}

#[test]
fn a_path_a_file_name_or_a_module() {
    leads_to("path", "clean up ./server/settings.go", "server/settings.go");
    leads_to("path of Windows", r"clean up web\src\price.ts", "web/src/price.ts");
    leads_to("file name", "clean up OrderQueue.java please", "core/com/shop/OrderQueue.java");
    leads_to("module", "import of com.shop.Invoice fails", "core/com/shop/Invoice.java");
}

#[test]
fn a_pasted_traceback() {
    let java = "it crashed\n\nException in thread \"main\" java.lang.IllegalStateException: no order is waiting\n\tat com.shop.OrderQueue.next(OrderQueue.java:16)\n\tat com.shop.Main.main(Main.java:9)\n";
    leads_to("Java", java, "core/com/shop/OrderQueue.java");
    let javascript = "it crashed\n\nTypeError: Cannot read properties of undefined\n    at withTax (/srv/shop/web/src/price.ts:8:34)\n    at main (/srv/shop/node_modules/x/index.js:1:1)\n";
    leads_to("JavaScript", javascript, "web/src/price.ts");
    let go = "panic: runtime error: invalid memory address\n\ngoroutine 1 [running]:\nexample.org/shop/server.Drain(...)\n\t/home/me/shop/server/listen.go:20 +0x1d\n";
    leads_to("Go", go, "server/listen.go");
}

#[test]
fn output_of_a_compiler() {
    let typescript = "web/src/cart.ts(18,3): error TS2345: Argument of type 'Price' is not assignable\n";
    leads_to("tsc", typescript, "web/src/cart.ts");
    let go = "# example.org/shop/server\nserver/settings.go:17:2: undefined: flags\n";
    leads_to("go", go, "server/settings.go");
    let javac = "build fails\n\ncore/com/shop/Invoice.java:8: error: incompatible types\n        total += cents;\n              ^\n";
    leads_to("javac", javac, "core/com/shop/Invoice.java");
}

#[test]
fn a_failing_test() {
    let go = "CI is red\n\n--- FAIL: TestListenRefusesTakenPort (0.00s)\n    listen_test.go:8: second listener on one port\nFAIL\n";
    let (_tree, index) = indexed("shop");
    let found = context(&index, go, 1_000);
    let paths = ranked(&found);
    assert_eq!(paths[..2].iter().filter(|path| path.starts_with("server/listen")).count(), 2, "{paths:?}");
}

#[test]
fn a_diff() {
    let diff = "review this\n\ndiff --git a/web/src/price.ts b/web/src/price.ts\n--- a/web/src/price.ts\n+++ b/web/src/price.ts\n@@ -7,3 +7,3 @@\n-  return { ...price, cents: 1 };\n+  return { ...price, cents: 2 };\n";
    leads_to("diff", diff, "web/src/price.ts");
}

#[test]
fn a_log_line() {
    let log =
        "2024-05-01T12:00:00Z ERROR server: port is taken by another process: bind: address already in use";
    leads_to("log", log, "server/listen.go");
}

#[test]
fn a_flag_a_variable_or_a_key() {
    leads_to("flag", "`--max-retries 0` is ignored", "server/settings.go");
    leads_to("environment", "SHOP_LISTEN_ADDRESS is not read", "server/settings.go");
    leads_to("key", "what does free_above_cents mean in the configuration", "config/shop.toml");
}

#[test]
fn other_languages_than_english() {
    leads_to("German", "Wie lange können Kunden Bestellungen zurückgeben?", "docs/guide.md");
    leads_to("Japanese", "何日以内に返品できますか", "docs/guide.md");
    leads_to("Russian", "как вернуть заказы", "docs/guide.md");
    leads_to("an English name in it", "Warum rundet withTax falsch?", "web/src/price.ts");
}

#[test]
fn what_surrounds_the_request_does_not_mislead() {
    let tree = Tree::fixture("shop");
    tree.write("numpy/version.py", "def numpy_version(): return \"1.21.0\"\n");
    let index = tree.index();
    let report = "Tax is rounded wrong\n\n- [x] I searched for numpy_version\n```\nimport numpy.version\nnumpy 1.21.0\nnumpy==1.21.0\n```\nThe cents of a Price are one too low.\n";
    assert_eq!(ranked(&context(&index, report, 1_000))[0], "web/src/price.ts");
    let rules = context(&index, report, 1_000);
    let numpy = rules.ledger.candidates.iter().find(|candidate| candidate.path == "numpy/version.py");
    let names: Vec<_> = numpy.iter().flat_map(|found| &found.rules).map(|rule| rule.rule.name()).collect();
    assert!(!names.contains(&"path or module") && !names.contains(&"file name"), "{names:?}");
}
