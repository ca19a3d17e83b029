//! A model server of the tests' own: real sockets, one canned reply a request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked: the request line and the body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub body: serde_json::Value,
}

/// What to answer. `raw` is everything after the headers.
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub raw: Vec<Vec<u8>>,
    /// Close without the ending that a chunked body needs.
    pub torn: bool,
}

impl Reply {
    pub fn json(value: serde_json::Value) -> Reply {
        Reply {
            status: 200,
            kind: "application/json",
            raw: vec![value.to_string().into_bytes()],
            torn: false,
        }
    }

    pub fn text(status: u16, kind: &'static str, text: &str) -> Reply {
        Reply { status, kind, raw: vec![text.as_bytes().to_vec()], torn: false }
    }

    /// The text in pieces of `size` bytes, which cuts characters in two.
    pub fn stream(kind: &'static str, text: &str, size: usize) -> Reply {
        let raw = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        Reply { status: 200, kind, raw, torn: false }
    }
}

/// A server on a port of its own. It ends with the process.
pub struct Server {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Server { url, asked }
    }

    /// Bodies of the requests whose line contains `part`.
    pub fn bodies(&self, part: &str) -> Vec<serde_json::Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.line.contains(part)).map(|asked| asked.body.clone()).collect()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked =
        Asked { line: line.trim().to_owned(), body: serde_json::from_slice(&body).unwrap_or_default() };
    log.lock().unwrap().push(asked.clone());
    let reply = answer(&asked);
    let mut stream = stream;
    // The client may leave at any time; that is what some tests are about.
    let _ = (|| -> std::io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            reply.status, reply.kind
        )?;
        for piece in &reply.raw {
            write!(stream, "{:x}\r\n", piece.len())?;
            stream.write_all(piece)?;
            write!(stream, "\r\n")?;
            stream.flush()?;
        }
        if !reply.torn {
            write!(stream, "0\r\n\r\n")?;
        }
        Ok(())
    })();
}
