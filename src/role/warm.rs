//! Owns what a model is given to read before there is a request: the rules of the roles.
//!
//! Rules are the same in every call and stand first, so a server that has read them goes on behind them. A
//! session has a model read them while its owner still types; a server that loads its model at the first call
//! loads it then. It must not know what is asked later.

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::message::EditFormat;
use crate::provider::{ChatRequest, Message, Narrowing, Provider, ProviderError, Speaker};
use crate::role::{CallError, Caller};

/// One role's rules, and the model that shall read them.
pub struct Rules {
    provider: Provider,
    request: ChatRequest,
}

impl Rules {
    /// The rules of this role as its first call will send them.
    ///
    /// # Errors
    /// A prompt of the owner that cannot be filled in.
    pub fn of(caller: &Caller, format: EditFormat) -> Result<Rules, CallError> {
        // Only the Coder's rules depend on the form of its answer.
        let system = caller.system(serde_json::json!({"format": format}))?;
        // Some chat templates refuse a conversation in which nobody asks.
        let user = Message { speaker: Speaker::User, text: "Wait.".into() };
        let request = ChatRequest {
            role: caller.spec.name.clone(),
            messages: vec![system, user],
            schema: None,
            layout: None,
            draws: 1,
            window: caller.model.window,
            answer_limit: 1,
            temperature: 0.0,
            seed: None,
            narrowing: Narrowing::default(),
        };
        Ok(Rules { provider: caller.model.provider.clone(), request })
    }

    async fn read(&self) -> Result<(), ProviderError> {
        let mut answer = self.provider.chat(&self.request).await?;
        while let Some(chunk) = answer.next().await {
            chunk?;
        }
        Ok(())
    }
}

/// Has the model read the rules of these roles, one after the other, until `stop`. What is being read then is
/// read to its end, since the turn that begins needs it too.
///
/// Only as many as the model keeps, and only those of the first one's model: a second model could push the first
/// out of memory. A server that fails is not complained of: the turn will find out, and say it.
pub async fn read_rules(roles: Vec<Rules>, stop: CancellationToken) {
    let Some(first) = roles.first() else { return };
    let (model, kept) = (first.provider.model().to_owned(), first.provider.prompts_kept());
    for rules in roles.iter().filter(|rules| rules.provider.model() == model).take(kept) {
        if stop.is_cancelled() || rules.read().await.is_err() {
            return;
        }
    }
}
