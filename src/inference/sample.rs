//! Tiny models with random weights, for tests of this package and of whatever is built on it.
//!
//! They answer nonsense, but in every architecture and format, through the same files as real ones.

use crate::format::Format;
use crate::header::Architecture;

/// What a tiny model is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub architecture: Architecture,
    /// Of all matrices; norms are in single precision.
    pub format: Format,
    /// Another seed, another model.
    pub seed: u64,
}

const EMBEDDING: usize = 256;
const FEED_FORWARD: usize = 512;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const HEAD_SIZE: usize = 64;
const CONTEXT: u32 = 4096;
/// Gemma's layers see so many tokens, but each sixth sees all.
const WINDOW: u32 = 24;

/// A template as most models have it, with marks around each message.
const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}\
    <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const MARKS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

impl Sample {
    /// The bytes of its file.
    pub fn gguf(&self) -> Vec<u8> {
        self.gguf_with(TEMPLATE)
    }

    /// The bytes of its file, with a chat template.
    pub fn gguf_with(&self, template: &str) -> Vec<u8> {
        let mut file = Writer { random: Random(self.seed | 1), ..Writer::default() };
        self.settings(&mut file);
        file.text("tokenizer.chat_template", template);
        if self.architecture == Architecture::Gemma3 {
            pieces(&mut file)
        } else {
            pairs(&mut file)
        }
        self.tensors(&mut file);
        file.finish()
    }

    fn settings(&self, file: &mut Writer) {
        let name = self.architecture.name();
        file.text("general.architecture", name);
        file.text("general.name", "a tiny random model");
        let layers = if self.architecture == Architecture::Gemma3 { 6 } else { 2 };
        for (key, value) in [
            ("block_count", layers),
            ("context_length", CONTEXT),
            ("embedding_length", EMBEDDING as u32),
            ("feed_forward_length", FEED_FORWARD as u32),
            ("attention.head_count", HEADS as u32),
            ("attention.head_count_kv", KEY_HEADS as u32),
            ("attention.key_length", HEAD_SIZE as u32),
            ("attention.value_length", HEAD_SIZE as u32),
            ("attention.sliding_window", WINDOW),
        ] {
            file.whole(&format!("{name}.{key}"), value);
        }
        file.float(&format!("{name}.attention.layer_norm_rms_epsilon"), 1e-6);
        file.float(&format!("{name}.rope.freq_base"), 10_000.0);
    }

    fn tensors(&self, file: &mut Writer) {
        let (queries, keys) = (HEADS * HEAD_SIZE, KEY_HEADS * HEAD_SIZE);
        let gemma = self.architecture == Architecture::Gemma3;
        file.matrix("token_embd.weight", self.format, file.tokens, EMBEDDING);
        file.vector("output_norm.weight", EMBEDDING, 1.0);
        for layer in 0..if gemma { 6 } else { 2 } {
            let name = |part: &str| format!("blk.{layer}.{part}");
            file.vector(&name("attn_norm.weight"), EMBEDDING, 1.0);
            file.vector(&name("ffn_norm.weight"), EMBEDDING, 1.0);
            file.matrix(&name("attn_q.weight"), self.format, queries, EMBEDDING);
            file.matrix(&name("attn_k.weight"), self.format, keys, EMBEDDING);
            file.matrix(&name("attn_v.weight"), self.format, keys, EMBEDDING);
            file.matrix(&name("attn_output.weight"), self.format, EMBEDDING, queries);
            file.matrix(&name("ffn_gate.weight"), self.format, FEED_FORWARD, EMBEDDING);
            file.matrix(&name("ffn_up.weight"), self.format, FEED_FORWARD, EMBEDDING);
            file.matrix(&name("ffn_down.weight"), self.format, EMBEDDING, FEED_FORWARD);
            if self.architecture == Architecture::Qwen2 {
                file.vector(&name("attn_q.bias"), queries, 0.0);
                file.vector(&name("attn_k.bias"), keys, 0.0);
                file.vector(&name("attn_v.bias"), keys, 0.0);
            }
            if gemma || self.architecture == Architecture::Qwen3 {
                file.vector(&name("attn_q_norm.weight"), HEAD_SIZE, 1.0);
                file.vector(&name("attn_k_norm.weight"), HEAD_SIZE, 1.0);
            }
            if gemma {
                file.vector(&name("post_attention_norm.weight"), EMBEDDING, 1.0);
                file.vector(&name("post_ffw_norm.weight"), EMBEDDING, 1.0);
            }
        }
    }
}

/// A vocabulary of byte pairs: every byte, a few merges, and the marks of a chat.
fn pairs(file: &mut Writer) {
    let letter = |byte: u8| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=0x20 => char::from_u32(0x100 + u32::from(byte)).expect("a letter"),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte) - 0x7f).expect("a letter"),
        0xad => '\u{143}',
    };
    let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    let merges = ["Ġ Ġ", "ĠĠ ĠĠ", "i n", "e r", "Ġ t", "h e", "Ġt he", "Ċ ĠĠ", "\" :", "Ġ \""];
    tokens.extend(merges.map(|merge| merge.replace(' ', "")));
    let plain = tokens.len();
    tokens.extend(MARKS.map(str::to_owned));
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "qwen2");
    file.texts("tokenizer.ggml.merges", merges.iter());
    file.wholes(
        "tokenizer.ggml.token_type",
        (0..tokens.len()).map(|token| if token < plain { 1 } else { 3 }),
    );
    file.whole("tokenizer.ggml.eos_token_id", plain as u32 + 2);
    file.tokens = tokens.len();
    file.texts("tokenizer.ggml.tokens", tokens.iter());
}

/// A vocabulary of scored pieces: bytes, printable letters, a few longer pieces, and the marks of a chat.
fn pieces(file: &mut Writer) {
    let mut tokens = vec!["<unk>".to_owned(), "<bos>".to_owned()];
    let mut kinds = vec![2, 3];
    tokens.extend(MARKS.map(str::to_owned));
    kinds.extend([3; MARKS.len()]);
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    kinds.extend([6; 256]);
    tokens.extend((0x21..0x7f).map(|byte: u8| char::from(byte).to_string()));
    tokens.extend(["▁", "▁t", "he", "▁the", "in", "er", "ing", "▁▁"].map(str::to_owned));
    kinds.resize(tokens.len(), 1);
    tokens.push("\n\n".to_owned());
    kinds.push(4);
    file.text("tokenizer.ggml.model", "llama");
    file.floats("tokenizer.ggml.scores", (0..tokens.len()).map(|token| -(token as f32)));
    file.wholes("tokenizer.ggml.token_type", kinds.into_iter());
    file.truth("tokenizer.ggml.add_space_prefix", false);
    file.whole("tokenizer.ggml.bos_token_id", 1);
    file.whole("tokenizer.ggml.eos_token_id", 4);
    file.tokens = tokens.len();
    file.texts("tokenizer.ggml.tokens", tokens.iter());
}

/// Builds a file: its keys, the list of its tensors, and their bytes.
#[derive(Default)]
struct Writer {
    random: Random,
    tokens: usize,
    keys: u64,
    head: Vec<u8>,
    tensors: u64,
    list: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    fn key(&mut self, key: &str, kind: u32) {
        self.keys += 1;
        string(&mut self.head, key);
        self.head.extend(kind.to_le_bytes());
    }

    fn whole(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.head.extend(value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.key(key, 6);
        self.head.extend(value.to_le_bytes());
    }

    fn truth(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.head.push(value.into());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        string(&mut self.head, value);
    }

    fn list(&mut self, key: &str, kind: u32, len: usize) {
        self.key(key, 9);
        self.head.extend(kind.to_le_bytes());
        self.head.extend((len as u64).to_le_bytes());
    }

    fn texts(&mut self, key: &str, values: impl ExactSizeIterator<Item = impl AsRef<str>>) {
        self.list(key, 8, values.len());
        values.for_each(|value| string(&mut self.head, value.as_ref()));
    }

    fn wholes(&mut self, key: &str, values: impl ExactSizeIterator<Item = i32>) {
        self.list(key, 5, values.len());
        values.for_each(|value| self.head.extend(value.to_le_bytes()));
    }

    fn floats(&mut self, key: &str, values: impl ExactSizeIterator<Item = f32>) {
        self.list(key, 6, values.len());
        values.for_each(|value| self.head.extend(value.to_le_bytes()));
    }

    fn tensor(&mut self, name: &str, format: Format, shape: &[usize]) {
        self.tensors += 1;
        string(&mut self.list, name);
        self.list.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|side| self.list.extend((*side as u64).to_le_bytes()));
        self.list.extend(format.ggml().to_le_bytes());
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.list.extend((self.data.len() as u64).to_le_bytes());
    }

    fn matrix(&mut self, name: &str, format: Format, rows: usize, len: usize) {
        self.tensor(name, format, &[len, rows]);
        for _ in 0..rows * len / format.block_len() {
            self.random.block(format, &mut self.data);
        }
    }

    /// Numbers around `middle`.
    fn vector(&mut self, name: &str, len: usize, middle: f32) {
        self.tensor(name, Format::F32, &[len]);
        for _ in 0..len {
            self.data.extend((middle + self.random.number() * 0.2).to_le_bytes());
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.tensors.to_le_bytes());
        file.extend(self.keys.to_le_bytes());
        file.extend(self.head);
        file.extend(self.list);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Xorshift: the same numbers everywhere.
#[derive(Default)]
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Between -1 and 1.
    pub fn number(&mut self) -> f32 {
        (self.next() & 0xffff) as f32 / 32768.0 - 1.0
    }

    /// Appends a block of random weights of about the size that trained ones have.
    pub fn block(&mut self, format: Format, out: &mut Vec<u8>) {
        use crate::half::to_f16;
        let start = out.len();
        match format {
            Format::F32 => return out.extend((self.number() * 0.1).to_le_bytes()),
            Format::F16 => return out.extend(to_f16(self.number() * 0.1).to_le_bytes()),
            Format::BF16 => return out.extend(&(self.number() * 0.1).to_le_bytes()[2..]),
            _ => out.extend((0..format.block_bytes()).map(|_| 0)),
        }
        out[start..].iter_mut().for_each(|byte| *byte = self.next() as u8);
        // Where the halves are that everything else is multiplied with, and how large they may be.
        let halves: &[(usize, f32)] = match format {
            Format::Q4_0 => &[(0, 0.012)],
            Format::Q4_1 => &[(0, 0.012), (2, -0.09)],
            Format::Q5_0 => &[(0, 0.006)],
            Format::Q5_1 => &[(0, 0.006), (2, -0.09)],
            Format::Q8_0 => &[(0, 0.0008)],
            Format::Q2_K => &[(80, 0.004), (82, 0.006)],
            Format::Q3_K => &[(108, 0.001)],
            Format::Q4_K => &[(0, 0.0002), (2, 0.0015)],
            Format::Q5_K => &[(0, 0.0001), (2, 0.0015)],
            _ => &[(208, 0.00003)],
        };
        for (at, size) in halves {
            let bits = to_f16(size * (1.0 + 0.3 * self.number()));
            out[start + at..start + at + 2].copy_from_slice(&bits.to_le_bytes());
        }
    }
}
