//! A conversation in the form that a model was trained on, by the template in its own file.
//!
//! A template is a program of whoever made the file, so it runs with a limit of steps, sees nothing
//! but the conversation, and its output is bounded. What a message says stays text: a name of a
//! special token in it is never read as that token, or a repository could end its own message and
//! begin one of the system's.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::provider::{Message, Speaker};

/// Steps of a template's program; the longest of those in use needs some 20,000 for ten messages.
const FUEL: u64 = 2_000_000;
/// Bytes that a template may add to the messages' own.
const MOST_ADDED: usize = 64 * 1024;
/// Bytes of a template's text; the longest of those in use has 12,000.
const MOST_TEXT: usize = 256 * 1024;

/// What llama.cpp takes where a file brings no template.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The template of one model.
pub(super) struct Template {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

/// Part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Written by the template, perhaps with messages in it in which no special token is named.
    Form(String),
    /// Written by somebody else: no special token is in it, whatever it looks like.
    Text(String),
}

impl Template {
    /// Reads a template; `begin` and `end` are the texts of the model's tokens of these names.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub(super) fn new(text: Option<&str>, begin: &str, end: &str) -> Result<Template, String> {
        let text = text.filter(|text| !text.trim().is_empty()).unwrap_or(CHATML);
        if text.len() > MOST_TEXT {
            return Err(format!("it has {} bytes, which no template has", text.len()));
        }
        let mut environment = Environment::new();
        // As the templates' makers have it.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(64);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_template_owned("chat", text.to_owned()).map_err(|error| describe(&error))?;
        Ok(Template { environment, begin: begin.to_owned(), end: end.to_owned() })
    }

    /// The prompt for an answer to `messages`. `names_special` says whether a text holds the text of a
    /// special token.
    ///
    /// # Errors
    /// What the template says is wrong, or that it does not end.
    pub(super) fn render(
        &self,
        messages: &[Message],
        names_special: impl Fn(&str) -> bool,
    ) -> Result<Vec<Part>, String> {
        if !messages.iter().any(|message| names_special(&message.text)) {
            return Ok(vec![Part::Form(self.conversation(messages)?)]);
        }
        // Where each text belongs, found by marks that no text has.
        let mark = self.mark(messages);
        let marked =
            |(at, message): (usize, &Message)| Message { text: format!("{mark}{at}{mark}"), ..*message };
        let marked: Vec<Message> = messages.iter().enumerate().map(marked).collect();
        let form = self.conversation(&marked)?;
        let mut parts = Vec::new();
        for (at, piece) in form.split(&mark).enumerate() {
            match at % 2 {
                0 if piece.is_empty() => {}
                0 => parts.push(Part::Form(piece.to_owned())),
                _ => {
                    let message = piece.parse::<usize>().ok().and_then(|at| messages.get(at));
                    let message = message.ok_or("it changes what messages say")?;
                    parts.push(Part::Text(message.text.clone()));
                }
            }
        }
        Ok(parts)
    }

    /// A text that neither the messages nor the template have.
    fn mark(&self, messages: &[Message]) -> String {
        let mut mark = "\u{f8ff}".to_owned();
        while messages.iter().any(|message| message.text.contains(&mark)) {
            mark.push('\u{f8fe}');
        }
        mark
    }

    /// The conversation as one text. A template that knows no system messages gets theirs at the
    /// head of the first message of the user.
    fn conversation(&self, messages: &[Message]) -> Result<String, String> {
        match self.filled(messages) {
            Err(_) if messages.iter().any(|message| message.speaker == Speaker::System) => {
                self.filled(&without_system(messages))
            }
            filled => filled,
        }
    }

    fn filled(&self, messages: &[Message]) -> Result<String, String> {
        let template = self.environment.get_template("chat").map_err(|error| describe(&error))?;
        let role = |speaker| match speaker {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        let list: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => role(message.speaker), content => message.text.as_str() })
            .collect();
        let values = context! {
            messages => list,
            add_generation_prompt => true,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
            // Models that can think first answer at once: the roles ask for short, formal answers.
            enable_thinking => false,
        };
        let own: usize = messages.iter().map(|message| message.text.len()).sum();
        let mut bounded = Bounded { bytes: Vec::new(), most: own.saturating_add(MOST_ADDED) };
        let rendered = template.render_captured_to(values, &mut bounded).map(drop);
        if bounded.bytes.len() >= bounded.most {
            return Err("its output does not end".to_owned());
        }
        rendered.map_err(|error| describe(&error))?;
        String::from_utf8(bounded.bytes).map_err(|_| "its output is no text".to_owned())
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() >= self.most {
            self.most = self.bytes.len();
            return Err(std::io::Error::other("too much"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn without_system(messages: &[Message]) -> Vec<Message> {
    let system: Vec<&str> = messages
        .iter()
        .filter(|message| message.speaker == Speaker::System)
        .map(|message| message.text.as_str())
        .collect();
    let mut others: Vec<Message> =
        messages.iter().filter(|message| message.speaker != Speaker::System).cloned().collect();
    let head = system.join("\n\n");
    match others.iter_mut().find(|message| message.speaker == Speaker::User) {
        Some(first) => first.text = format!("{head}\n\n{}", first.text),
        None => others.insert(0, Message { speaker: Speaker::User, text: head }),
    }
    others
}

fn describe(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{}{line}: {detail}", error.kind()),
        None => format!("{}{line}", error.kind()),
    }
}

#[cfg(test)]
mod tests;
