//! Waiting for the activation of a document, for the author who has just written it, at any node.

use innkeeper_runtime::Runtime;
use innkeeper_tree::Zxid;

use super::Guests;
use super::at_leader::{Question, Told};

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activated {
    /// It is active since this zxid.
    At(Zxid),
    /// The leader could not activate it, with the reason.
    Not(String),
    /// Another document was written meanwhile.
    Overtaken,
    /// The binding was deleted meanwhile.
    Deleted,
}

impl<R: Runtime> Guests<R> {
    /// Waits until the document that was written at zxid `wish` is active here, or will not be. The
    /// caller bounds the time.
    pub async fn activated(&self, name: &str, wish: Zxid) -> Activated {
        let question = Question::NotActivated {
            name: name.to_owned(),
            wish: wish.0,
        };
        loop {
            let news = self.news();
            let view = self.shared.reader.view();
            let Some(binding) = view.bindings().get(name) else {
                return Activated::Deleted;
            };
            if let Some(active) = &binding.active
                && active.wish == wish
            {
                return Activated::At(active.activation);
            }
            if binding.wish != wish {
                return Activated::Overtaken;
            }
            drop(view);
            // Without a leader there is nothing to tell yet.
            if let Ok(Told::NotActivated(Some(error))) = self.ask_leader(&question).await {
                return Activated::Not(error);
            }
            self.news_or_again(news).await;
        }
    }
}
