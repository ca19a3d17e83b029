//! Forward passes of tiny random models: the same tokens give the same logits however they are read.

use countersign_inference::format::Format;
use countersign_inference::header::Architecture;
use countersign_inference::sample::Sample;
use countersign_inference::{Error, Model, Options, Reading, Session, memory_needed};
use std::io::Write;
use std::ops::ControlFlow;

const CONTEXT: usize = 320;

fn open(sample: &Sample, threads: usize) -> Model {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&sample.gguf()).unwrap();
    Model::open(file.path(), &Options { threads, context: CONTEXT }).unwrap()
}

fn read(session: &mut Session, tokens: &[u32]) -> Vec<f32> {
    assert_eq!(session.read(tokens, &mut |_| ControlFlow::Continue(())).unwrap(), Reading::Done);
    session.logits().to_vec()
}

fn tokens(model: &Model, count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 37 % model.vocabulary().len()) as u32).collect()
}

/// Activations are rounded to bytes, so that a last bit somewhere can move a byte, and in the layers after it
/// more of them: some hundredths are usual. What is wrong differs by as much as there is.
fn assert_near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    let size = a.iter().map(|x| x * x).sum::<f32>().sqrt();
    let error = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(size.is_finite() && size > 0.0 && error < 0.1 * size, "{what}: {error} of {size}");
}

fn all() -> impl Iterator<Item = Sample> {
    let architectures = Architecture::ALL.into_iter().map(|architecture| (architecture, Format::Q4_K));
    let formats = Format::ALL.into_iter().map(|format| (Architecture::Qwen2, format));
    let gemma = [(Architecture::Gemma3, Format::F32), (Architecture::Gemma3, Format::Q6_K)];
    architectures.chain(formats).chain(gemma).map(|(architecture, format)| Sample {
        architecture,
        format,
        seed: 5,
    })
}

#[test]
fn one_by_one_or_at_once_is_the_same() {
    for sample in all() {
        let what = format!("{sample:?}");
        let model = open(&sample, 2);
        // Longer than a run of the layers, than a block of the cache and than Gemma's window.
        let tokens = tokens(&model, 131);
        let at_once = read(&mut Session::new(&model).unwrap(), &tokens);
        assert_eq!(at_once.len(), model.vocabulary().len());
        let mut session = Session::new(&model).unwrap();
        let mut last = Vec::new();
        for token in &tokens {
            last = read(&mut session, &[*token]);
        }
        assert_near(&at_once, &last, &what);
        // Cut back and read again: the cache holds what it held.
        session.truncate(60);
        assert!(session.logits().is_empty());
        assert_eq!(session.tokens(), &tokens[..60]);
        assert_near(&at_once, &read(&mut session, &tokens[60..]), &what);
        // And not what was read before the cut.
        session.truncate(60);
        let other: Vec<u32> = tokens[60..].iter().map(|token| token / 2 + 1).collect();
        let changed = read(&mut session, &other);
        let mut fresh = Session::new(&model).unwrap();
        read(&mut fresh, &tokens[..60]);
        assert_near(&changed, &read(&mut fresh, &other), &what);
        assert!(changed.iter().zip(&at_once).any(|(a, b)| (a - b).abs() > 0.01), "{what}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let sample = Sample { architecture: Architecture::Qwen3, format: Format::Q5_0, seed: 3 };
    let one = open(&sample, 1);
    let three = open(&sample, 3);
    let tokens = tokens(&one, 40);
    let (mut a, mut b) = (Session::new(&one).unwrap(), Session::new(&three).unwrap());
    assert_eq!(read(&mut a, &tokens), read(&mut b, &tokens));
    assert_eq!(read(&mut a, &tokens[..1]), read(&mut b, &tokens[..1]));
}

#[test]
fn two_sessions_of_a_model_do_not_disturb_each_other() {
    let model = open(&Sample { architecture: Architecture::Llama, format: Format::Q8_0, seed: 9 }, 2);
    let texts = [tokens(&model, 50), tokens(&model, 80)];
    let alone = texts.clone().map(|tokens| read(&mut Session::new(&model).unwrap(), &tokens));
    let together = std::thread::scope(|scope| {
        let handles = texts.each_ref().map(|tokens| {
            let model = model.clone();
            scope.spawn(move || read(&mut Session::new(&model).unwrap(), tokens))
        });
        handles.map(|handle| handle.join().unwrap())
    });
    assert_eq!(alone, together);
}

#[test]
fn order_and_distance_of_tokens_matter() {
    let model = open(&Sample { architecture: Architecture::Llama, format: Format::F16, seed: 2 }, 1);
    let one = read(&mut Session::new(&model).unwrap(), &[10, 20, 30]);
    let other = read(&mut Session::new(&model).unwrap(), &[20, 10, 30]);
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn reading_can_be_stopped_and_gone_on_with() {
    let model = open(&Sample { architecture: Architecture::Gemma3, format: Format::F32, seed: 4 }, 1);
    let tokens = tokens(&model, 300);
    let mut session = Session::new(&model).unwrap();
    let mut heard = Vec::new();
    let reading = session.read(&tokens, &mut |done| {
        heard.push(done);
        if done == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    // A machine so fast that it was never asked has read everything.
    if reading.unwrap() == Reading::Stopped {
        assert!(heard.is_sorted());
        assert_eq!(session.tokens(), &tokens[..*heard.last().unwrap()]);
        assert!(session.logits().is_empty());
    }
    let rest = tokens[session.tokens().len()..].to_vec();
    let after = if rest.is_empty() { session.logits().to_vec() } else { read(&mut session, &rest) };
    assert_near(&after, &read(&mut Session::new(&model).unwrap(), &tokens), "stopped");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let model = open(&Sample { architecture: Architecture::Qwen2, format: Format::Q4_0, seed: 1 }, 1);
    let mut session = Session::new(&model).unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());
    let logits = read(&mut session, &[1, 2, 3]);
    let many = vec![1; CONTEXT - 2];
    assert!(matches!(session.read(&many, go_on), Err(Error::ContextFull { needed: 321, context: CONTEXT })));
    let strange = model.vocabulary().len() as u32;
    assert!(matches!(session.read(&[1, strange], go_on), Err(Error::UnknownToken { .. })));
    assert_eq!(session.read(&[], go_on).unwrap(), Reading::Done);
    assert_eq!((session.tokens(), session.logits()), (&[1, 2, 3][..], &logits[..]));
    read(&mut session, &many[..CONTEXT - 3]);
    assert_eq!(session.tokens().len(), CONTEXT);
}

#[test]
fn memory_grows_with_the_context() {
    let model = open(&Sample { architecture: Architecture::Qwen2, format: Format::Q4_0, seed: 1 }, 1);
    let (small, large) = (memory_needed(model.header(), 1024), memory_needed(model.header(), 4096));
    // 2 layers, 2 heads of 64 numbers, key and value, 2 bytes each.
    assert_eq!((small.cache, large.cache), (1024 * 1024, 4 * 1024 * 1024));
    assert_eq!(small.weights, model.header().file_bytes);
    assert!(large.total() > small.total());
}
