//! What is wrong with a provider that announces, told when it is news.

use std::time::Duration;

use tokio::time::Instant;

use super::socket::Sent;

/// How soon another trouble is told after one was.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// What is wrong, and what of it was told.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What is wrong with the sockets.
    problem: Option<String>,
    /// Why the last announcement went nowhere.
    not_sent: Option<String>,
    /// The last trouble told, and when.
    told: Option<(String, Instant)>,
}

impl Trouble {
    /// At the start, with what was wrong when the sockets were opened.
    pub fn new(problem: Option<String>) -> Self {
        Self {
            problem,
            not_sent: None,
            told: None,
        }
    }

    /// Takes what is wrong with the sockets now.
    pub fn scanned(&mut self, problem: Option<String>) {
        self.problem = problem;
    }

    /// Takes what became of an announcement.
    pub fn sent(&mut self, sent: Sent) {
        self.not_sent = (sent.went == 0).then(|| sent.trouble());
    }

    /// What is to be told, if there is something. `complaint` is what is wrong with what comes in.
    pub fn news(&mut self, complaint: impl FnOnce() -> Option<String>) -> Option<String> {
        let of_sockets = self.problem.is_some();
        let trouble = self.problem.clone().or_else(|| self.not_sent.clone());
        let Some(trouble) = trouble.or_else(complaint) else {
            // What comes back after it was away is news.
            self.told = self.told.take().filter(|(_, at)| at.elapsed() < TELL_AGAIN);
            return None;
        };
        // A forger can change the words of a complaint with each datagram, but not make us chatter.
        let is_news = self.told.as_ref().is_none_or(|(told, at)| {
            *told != trouble && (at.elapsed() >= TELL_AGAIN || of_sockets)
        });
        is_news.then(|| {
            self.told = Some((trouble.clone(), Instant::now()));
            trouble
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_told_once_and_again_when_it_was_away_for_a_while() {
        let mut trouble = Trouble::new(None);
        assert_eq!(trouble.news(|| text("a")), text("a"));
        assert_eq!(trouble.news(|| text("a")), None);
        // Other words soon after are no news, unless it is the sockets.
        assert_eq!(trouble.news(|| text("b")), None);
        trouble.scanned(text("no interface"));
        assert_eq!(trouble.news(|| text("b")), text("no interface"));
        trouble.scanned(None);
        assert_eq!(trouble.news(|| None), None);
        assert_eq!(trouble.news(|| text("no interface")), None);
        tokio::time::advance(TELL_AGAIN).await;
        assert_eq!(trouble.news(|| text("no interface")), None);
        assert_eq!(trouble.news(|| text("b")), text("b"));
        tokio::time::advance(TELL_AGAIN).await;
        assert_eq!(trouble.news(|| None), None);
        assert_eq!(trouble.news(|| text("b")), text("b"));
    }
}
