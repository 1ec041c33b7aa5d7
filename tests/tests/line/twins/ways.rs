//! How deployed servers behave where they do not follow their documents. What a twin does without any of these is what its document says.

use std::collections::BTreeMap;

/// One way of behaving. Those of the first group any server may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Carries the request out, and the connection ends without an answer.
    LosesAnswers,
    /// Carries the request out, and the answer ends in its middle.
    CutsAnswersShort,
    /// Carries the request out and answers 500.
    FailsAfterStoring,
    /// A proxy answers 502 in HTML instead.
    AnswersInHtml,
    /// A network answers 200 with a page to log in.
    LogInPage,
    /// 500 for requests of any kind, nothing carried out.
    Fails,
    /// 200 with `success: false`, nothing carried out.
    SaysNoWith200,
    /// One bad item of a batch is a 500, and nothing of the batch is stored.
    RollsBackTheBatch,
    /// Bad items are dropped without a word.
    DropsBadItems,
    /// Ids and cursors are text where the document has numbers, and numbers where it has text.
    OtherKindsOfIds,
    /// Objects have members that no document knows.
    MoreMembers,
    /// Pulls tell everything again, also what the client wrote itself.
    TellsAllAgain,
    /// `hasMore` stays true, and the cursor where it is.
    MoreWithoutEnd,
    /// The limit is told in `RateLimit-Reset`, seconds left; else in `X-RateLimit-Reset`, Unix seconds.
    LimitsInSecondsLeft,
    /// Tokens and keys are not good any more.
    ForgetsTokens,
    /// Times have no zone, or are written like Python's.
    ZonelessTimes,

    /// nuqta: answers are wrapped as `{ok, data}` and `{ok, error: {code, message}}`.
    Wraps,
    /// nuqta: `data` must be text that holds JSON.
    WantsTextData,
    /// nuqta: the status stands in the answer itself.
    BareStatus,

    /// auraflow: fewer results than items, where there are several.
    LosesResults,
    /// auraflow: `since` is ignored.
    IgnoresSince,
    /// auraflow: pulled orders have no lines, and were made just now.
    PullsWithoutLines,

    /// events: `/api/sync`, camel case, numbers, `pushed`.
    CamelDialect,
    /// events: batches of more than 100 take too long.
    SlowAbove100,

    /// booky: text in `timestamp` is a 500.
    WantsNoTextTime,
    /// booky: `entityId` is ignored on creating; only `data.id` counts.
    WantsIdInData,

    /// insight: what is stored now is told in `changes`.
    AppliedInChanges,
    /// insight: everything is rolled back where one record is refused, without a reason.
    RollsBackWithoutReason,
    /// insight: decimals are text in pulls.
    DecimalsAsText,
    /// insight: pulled records have a `deleted_at` that says nothing.
    EchoesNoDeletes,
}

/// The ways that are on, and how often each is still to happen.
#[derive(Debug)]
pub struct Ways {
    left: BTreeMap<Way, u32>,
}

impl Ways {
    pub fn new(ways: &[Way]) -> Self {
        Self { left: ways.iter().map(|way| (*way, u32::MAX)).collect() }
    }

    pub fn turn_on(&mut self, way: Way) {
        self.turn_on_for(way, u32::MAX);
    }

    pub fn turn_on_for(&mut self, way: Way, times: u32) {
        self.left.insert(way, times);
    }

    pub fn turn_off(&mut self, way: Way) {
        self.left.remove(&way);
    }

    /// Whether it is on.
    pub fn has(&self, way: Way) -> bool {
        self.left.get(&way).is_some_and(|left| *left > 0)
    }

    /// Whether it is on; it has happened once more.
    pub fn take(&mut self, way: Way) -> bool {
        let Some(left) = self.left.get_mut(&way).filter(|left| **left > 0) else { return false };
        if *left != u32::MAX {
            *left -= 1;
        }
        true
    }
}
