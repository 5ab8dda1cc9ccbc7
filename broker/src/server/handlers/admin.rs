//! Requests that the controller decides: sent there, answered when it has answered.

use std::collections::BTreeSet;
use std::fmt;

use millstream_machine::cluster::controller::Refusal;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::alter_configs::AlterConfigsResourceResponse;

use crate::controller::command::{Action, Outcome};
use crate::server::reply::ReplyTo;
use crate::shard::calls::Call;
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A request that waits for the controller.
pub struct AdminCall {
    to: ReplyTo,
    finish: Finish,
}

/// Turns the controller's outcome into the reply.
type Finish = Box<dyn FnOnce(&mut Shard, ReplyTo, Outcome)>;

impl fmt::Debug for AdminCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminCall")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Asks the controller; `finish` answers the request with what it says.
pub fn start(
    shard: &mut Shard,
    to: ReplyTo,
    action: Action,
    finish: impl FnOnce(&mut Shard, ReplyTo, Outcome) + 'static,
) {
    match shard.calls.insert(Call::Admin(AdminCall {
        to,
        finish: Box::new(finish),
    })) {
        Ok(key) => {
            let now = shard.now.monotonic;
            if shard.controller.ask(shard.id, key, action, now).is_err() {
                shard.end_admin(key, Outcome::Unavailable { stopped: false });
            }
        }
        Err(_) => shard.finish_silently(to, true),
    }
}

/// What an item is answered when the controller cannot decide now.
pub fn unavailable() -> Refusal {
    let message = "The broker's metadata cannot be written at present; its log says why.";
    Refusal {
        code: ErrorCode::RequestTimedOut,
        message: message.into(),
    }
}

/// The text of a refusal; none where the code says it all.
pub fn message(refusal: &Refusal) -> Option<&str> {
    Some(refusal.message.as_str()).filter(|message| !message.is_empty())
}

/// Leaves one answer for each name: who is named twice is refused, once.
pub fn once_each<'a, T>(answers: &mut Vec<T>, name: impl Fn(&T) -> &'a str) {
    let mut seen = BTreeSet::new();
    answers.retain(|answer| seen.insert(name(answer)));
}

/// The answers of an alteration of `count` resources.
pub fn alterations(outcome: Outcome, count: usize) -> Vec<Result<(), Refusal>> {
    match outcome {
        Outcome::Altered(answers) => answers,
        _ => (0..count).map(|_| Err(unavailable())).collect(),
    }
}

/// What resources (type and name) are answered, whichever of the two messages asked.
pub fn altered<'a>(
    resources: impl Iterator<Item = (i8, &'a str)>,
    answers: &'a [Result<(), Refusal>],
) -> Vec<AlterConfigsResourceResponse<'a>> {
    resources
        .zip(answers)
        .map(|((resource_type, resource_name), answer)| {
            let refusal = answer.as_ref().err();
            AlterConfigsResourceResponse {
                error_code: refusal.map_or(ErrorCode::None, |refusal| refusal.code) as i16,
                error_message: refusal.and_then(message),
                resource_type,
                resource_name,
            }
        })
        .collect()
}

impl Shard {
    /// The controller has answered a call.
    pub(crate) fn controller_answered(&mut self, key: Key, outcome: Outcome) {
        self.controller.answered(key);
        self.note_metadata(matches!(outcome, Outcome::Unavailable { stopped: true }));
        self.end_admin(key, outcome);
    }

    fn end_admin(&mut self, key: Key, outcome: Outcome) {
        if let Some(Call::Admin(call)) = self.calls.remove(key) {
            let outcome = match outcome {
                Outcome::Throttled { wait, outcome } => {
                    self.controllers_wait = wait;
                    *outcome
                }
                outcome => outcome,
            };
            (call.finish)(self, call.to, outcome);
        }
    }
}
