//! A llama.cpp server that the benchmark starts, asks and ends.

use super::Rates;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a prompt was answered with.
pub struct Answer {
    pub tokens: Vec<u32>,
    pub candidates: Vec<(u32, f64)>,
    pub rates: Rates,
}

pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts it and waits until it has loaded the model.
    pub fn start(command: &[String], model: &str, threads: usize) -> Result<Self, Box<dyn Error>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let fill = |word: &String| {
            let word = word.replace("{model}", model).replace("{port}", &port.to_string());
            word.replace("{threads}", &threads.to_string())
        };
        let words: Vec<String> = command.iter().map(fill).collect();
        let process =
            Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut server = Server { process, port };
        while server.ask("GET", "/health", &Value::Null).is_err() {
            if let Some(status) = server.process.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The likeliest tokens after a prompt, and five candidates for the first with the logarithm of their
    /// probability.
    pub fn run(&self, prompt: &[u32], count: usize) -> Result<Answer, Box<dyn Error>> {
        let request = json!({
            "prompt": prompt, "n_predict": count, "samplers": ["top_k"], "top_k": 1, "temperature": 0,
            "cache_prompt": false, "return_tokens": true, "n_probs": 5,
        });
        let answer = self.ask("POST", "/completion", &request)?;
        let tokens = answer["tokens"].as_array().ok_or("no tokens in the answer")?;
        let tokens = tokens.iter().filter_map(Value::as_u64).map(|token| token as u32).collect();
        // The server leaves out tokens that are a part of a character.
        let first = &answer["completion_probabilities"][0];
        let first = first["top_logprobs"].as_array().filter(|_| first["id"] == answer["tokens"][0]);
        let candidate = |value: &Value| Some((value["id"].as_u64()? as u32, value["logprob"].as_f64()?));
        let candidates = first.into_iter().flatten().filter_map(candidate).collect();
        let timing = |name: &str| answer["timings"][name].as_f64().unwrap_or(0.0);
        let (read, written) = (timing("prompt_per_second"), timing("predicted_per_second"));
        Ok(Answer { tokens, candidates, rates: Rates { read, written } })
    }

    pub fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, Box<dyn Error>> {
        let request = json!({ "content": text, "add_special": false, "parse_special": special });
        let answer = self.ask("POST", "/tokenize", &request)?;
        let tokens = answer["tokens"].as_array().ok_or("no tokens in the answer")?;
        Ok(tokens.iter().filter_map(Value::as_u64).map(|token| token as u32).collect())
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("the server says {head}: {body}").into());
        }
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
