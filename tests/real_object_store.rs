//! `index pull` against a real S3-compatible server. Not part of `cargo test`:
//!
//! `pip install 'moto[server]' && cargo test --test real_object_store`
//!
//! It starts `moto_server` from the path, puts an archive into a bucket of it, and pulls it back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ended with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server is installed: pip install 'moto[server]'");
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("http://")?.1.trim().to_owned()));
        // Somebody has to read what it says, or it waits.
        std::thread::spawn(move || lines.for_each(drop));
        Server { process, address: address.expect("it says where it listens") }
    }

    fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=me/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn countersign(root: &Path, data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("-C").arg(root).arg("--data-dir").arg(data).args(arguments).env_remove("AWS_PROFILE");
    command
}

#[test]
fn an_index_comes_back_from_a_bucket() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (root, here, there) =
        (folder.path().join("root"), folder.path().join("here"), folder.path().join("there"));
    std::fs::create_dir(&root).unwrap();
    for file in 0..200 {
        std::fs::write(
            root.join(format!("f{file}.py")),
            format!("def f{file}():\n    return {file}\n").repeat(50),
        )
        .unwrap();
    }
    let archive = folder.path().join("archive");
    let status = countersign(&root, &here, &["index", "export", archive.to_str().unwrap()]).status().unwrap();
    assert!(status.success());
    server.put("/bucket", b"");
    server.put("/bucket/team/archive.index", &std::fs::read(&archive).unwrap());
    let pull = |key: &str, secret: &str| {
        countersign(&root, &there, &["index", "pull", key, "--json"])
            .envs([
                ("AWS_ENDPOINT", format!("http://{}", server.address).as_str()),
                ("AWS_ALLOW_HTTP", "true"),
            ])
            .envs([
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "me"),
                ("AWS_SECRET_ACCESS_KEY", secret),
            ])
            .output()
            .unwrap()
    };
    let missing = pull("s3://bucket/no/such", "secret");
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    let pulled = pull("s3://bucket/team/archive.index", "secret");
    assert!(pulled.status.success(), "{pulled:?}");
    let answer: serde_json::Value = serde_json::from_slice(&pulled.stdout).unwrap();
    assert_eq!(
        (&answer["update"]["files"], &answer["update"]["added"]),
        (&200.into(), &0.into()),
        "{answer:#}"
    );
}
