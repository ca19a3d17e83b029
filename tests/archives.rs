//! An index that travels: export, import, pull.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::{GREETER, Place};

const REQUEST: &str = "where is the greeting text made";

/// The archive of a place's index, and its hash.
fn exported(place: &Place) -> (std::path::PathBuf, String) {
    let file = place.root().with_file_name("greeter.index");
    let run = place.run(&["index", "export", file.to_str().unwrap(), "--json"]).succeeds();
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    (file, answer["archive"]["total"].as_str().unwrap().to_owned())
}

/// What the update after an import did: files in the index, added, updated.
fn counts(stdout: &str) -> [u64; 3] {
    let answer: serde_json::Value = serde_json::from_str(stdout).unwrap();
    ["files", "added", "updated"].map(|name| answer["update"][name].as_u64().unwrap())
}

#[test]
fn an_imported_index_answers_as_the_one_it_came_from() {
    let here = Place::new(GREETER);
    let (file, hash) = exported(&here);
    let says = here.run(&["context", REQUEST]).succeeds().stdout;
    let there = Place::new(GREETER);
    let file = file.to_str().unwrap();
    let run = there.run(&["index", "import", file, "--hash", &hash, "--json"]).succeeds();
    let [files, added, updated] = counts(&run.stdout);
    assert!(files > 0 && added == 0 && updated == 0, "{}", run.stdout);
    assert_eq!(there.run(&["context", REQUEST]).succeeds().stdout, says);
    let url = format!("file://{file}");
    there.write("greeter/fresh.py", "fresh = 1\n");
    let run = there.run(&["index", "pull", &url, "--json"]).succeeds();
    assert_eq!(counts(&run.stdout), [files + 1, 1, 0]);
}

#[test]
fn a_broken_archive_changes_nothing_and_says_what_to_do() {
    let here = Place::new(GREETER);
    let (file, _) = exported(&here);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let says = here.run(&["context", REQUEST]).succeeds().stdout;
    let file = file.to_str().unwrap();
    here.run(&["index", "import", file]).fails(2, "damaged").fails(2, "The index is as it was");
    here.run(&["index", "import", "/no/such/file"]).fails(2, "/no/such/file");
    assert_eq!(here.run(&["context", REQUEST]).succeeds().stdout, says);
}

/// Answers every request with `body`, or with the status `refusal`; keeps the heads of requests.
fn serve(body: Vec<u8>, refusal: Option<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = heads.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            log.lock().unwrap().push(head(&stream));
            let status = refusal.unwrap_or(200);
            let body = if refusal.is_some() { &[][..] } else { &body[..] };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nLast-Modified: Tue, 01 Sep 2020 00:00:00 GMT\r\nETag: \"1\"\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // Whoever asked may have gone.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    (url, heads)
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_index_is_pulled_over_http() {
    let here = Place::new(GREETER);
    let (file, hash) = exported(&here);
    let (url, _) = serve(std::fs::read(file).unwrap(), None);
    let there = Place::new(GREETER);
    let url = format!("{url}/indexes/greeter.index");
    let run = there.run(&["index", "pull", &url, "--hash", &hash, "--json"]).succeeds();
    assert_eq!(counts(&run.stdout)[1..], [0, 0], "nothing had to be read anew");
    there.run(&["index", "pull", &url, "--hash", "beef"]).fails(2, "hash");
    let left: Vec<_> = std::fs::read_dir(there.data().join("repositories"))
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_index_is_pulled_from_s3_with_a_signed_request() {
    let here = Place::new(GREETER);
    let (file, _) = exported(&here);
    let (url, heads) = serve(std::fs::read(file).unwrap(), None);
    let there = Place::new(GREETER);
    let output = there
        .command()
        .args(["index", "pull", "s3://bucket/greeter.index", "--json"])
        .envs([("AWS_ENDPOINT", url.as_str()), ("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "eu-central-1")])
        .envs([("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "top-secret")])
        .output()
        .unwrap();
    let run = crate::support::Finished::of(output).succeeds();
    assert_eq!(counts(&run.stdout)[1..], [0, 0]);
    let heads = heads.lock().unwrap().join("\n");
    assert!(heads.contains("GET /bucket/greeter.index") && heads.contains("AWS4-HMAC-SHA256"), "{heads}");
    assert!(!heads.contains("top-secret"));
}

#[test]
fn servers_that_do_not_deliver_leave_the_index_alone() {
    let here = Place::new(GREETER);
    let says = here.run(&["context", REQUEST]).succeeds().stdout;
    let (missing, _) = serve(Vec::new(), Some(404));
    here.run(&["index", "pull", &format!("{missing}/x")]).fails(2, "cannot pull");
    let (foreign, _) = serve(b"<html>sign in</html>".to_vec(), None);
    here.run(&["index", "pull", &format!("{foreign}/x")]).fails(2, "not an archive");
    here.run(&["index", "pull", "gopher://example.org/x"]).fails(2, "gopher");
    here.run(&["index", "pull", "no address"]).fails(2, "address");
    assert_eq!(here.run(&["context", REQUEST]).succeeds().stdout, says);
}
