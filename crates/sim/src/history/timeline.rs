//! The writes of one register, indexed so that each question about a moment is a binary search.

use std::collections::HashMap;

use super::{At, Fact, Value};

/// One write, with the interval in which it acted.
///
/// Moments are shifted by one against the history's, so that the value before any write has a moment of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) value: Value,
    pub(super) from: At,
    /// [`At::MAX`] if nothing bounds it.
    pub(super) to: At,
    /// The operation; none for the value before any write.
    pub(super) by: Option<usize>,
    /// Whether it is known to have acted.
    pub(super) definite: bool,
}

/// The moment of a history in a [`Span`].
pub(super) fn moment(at: At) -> At {
    at.saturating_add(1)
}

/// All writes of one register.
pub(super) struct Timeline {
    /// By `from`. The first one is the value before any write.
    spans: Vec<Span>,
    /// For each beginning of `spans`: the latest end in it.
    latest_end: Vec<Best>,
    /// Indices of the definite ones, by `to`.
    definite: Vec<usize>,
    /// For each beginning of `definite`: the latest `from` in it.
    latest_start: Vec<Best>,
    values: HashMap<Value, OfValue>,
}

/// The same of the writes of one value.
#[derive(Default)]
struct OfValue {
    spans: Vec<usize>,
    latest_end: Vec<At>,
    definite: Vec<usize>,
    /// The index of the latest `from`.
    latest_start: Vec<usize>,
}

/// The greatest of several moments, and the greatest among those of another value than that one.
#[derive(Clone, Copy, Default)]
struct Best {
    first: Option<Top>,
    second: Option<Top>,
}

#[derive(Clone, Copy)]
struct Top {
    value: Value,
    at: At,
    span: usize,
}

impl Best {
    fn with(self, top: Top) -> Best {
        let beats = |other: Option<Top>| other.is_none_or(|other| top.at > other.at);
        match self.first {
            Some(first) if first.value == top.value => {
                Best { first: Some(if beats(self.first) { top } else { first }), ..self }
            }
            _ if beats(self.first) => Best { first: Some(top), second: self.first },
            _ if beats(self.second) => Best { second: Some(top), ..self },
            _ => self,
        }
    }

    fn of_another_value(&self, value: Value) -> Option<Top> {
        if self.first.is_some_and(|first| first.value != value) { self.first } else { self.second }
    }
}

impl Timeline {
    /// Of these writes, in any order.
    pub(super) fn new(mut spans: Vec<Span>) -> Timeline {
        spans.push(Span { value: 0, from: 0, to: 0, by: None, definite: true });
        spans.sort_by_key(|span| (span.from, span.to));
        let mut definite: Vec<usize> = (0..spans.len()).filter(|index| spans[*index].definite).collect();
        definite.sort_by_key(|index| spans[*index].to);
        let mut values: HashMap<Value, OfValue> = HashMap::new();
        let (mut latest_end, mut best) = (Vec::with_capacity(spans.len()), Best::default());
        for (index, span) in spans.iter().enumerate() {
            best = best.with(Top { value: span.value, at: span.to, span: index });
            latest_end.push(best);
            let of = values.entry(span.value).or_default();
            of.spans.push(index);
            of.latest_end.push(of.latest_end.last().map_or(span.to, |last| span.to.max(*last)));
        }
        let (mut latest_start, mut best) = (Vec::with_capacity(definite.len()), Best::default());
        for index in &definite {
            let span = &spans[*index];
            best = best.with(Top { value: span.value, at: span.from, span: *index });
            latest_start.push(best);
            let of = values.entry(span.value).or_default();
            of.definite.push(*index);
            let latest = of.latest_start.last().filter(|latest| spans[**latest].from >= span.from);
            of.latest_start.push(*latest.unwrap_or(index));
        }
        Timeline { spans, latest_end, definite, latest_start, values }
    }

    /// Of the writes that certainly acted before `before` and that the fact contradicts, the one that began last: what the
    /// fact rests on must not have ended before that one began.
    pub(super) fn contradicting(&self, fact: Fact, before: At) -> Option<&Span> {
        let acted = |order: &[usize]| order.partition_point(|index| self.spans[*index].to < before);
        let index = if fact.holds {
            let count = acted(&self.definite);
            self.latest_start.get(count.checked_sub(1)?)?.of_another_value(fact.value)?.span
        } else {
            let of = self.values.get(&fact.value)?;
            let count = acted(&of.definite);
            *of.latest_start.get(count.checked_sub(1)?)?
        };
        self.spans.get(index)
    }

    /// Of the writes that fit the fact, that had begun by `until`, that had not ended before `floor`, and that are not by
    /// the operation `own`: the one that began first.
    pub(super) fn earliest(&self, fact: Fact, floor: At, until: At, own: usize) -> Option<&Span> {
        let of = self.values.get(&fact.value);
        let found = |index: usize| {
            let span = self.spans.get(index).filter(|span| span.from <= until)?;
            (fact.fits(span.value) && span.to >= floor && span.by != Some(own)).then_some(span)
        };
        if fact.holds {
            let of = of?;
            let first = of.latest_end.partition_point(|end| *end < floor);
            // Only what the operation writes itself, and what ended too early beside it, is passed over.
            let begun = |index: &&usize| self.spans[**index].from <= until;
            of.spans[first..].iter().take_while(begun).find_map(|index| found(*index))
        } else {
            let late = |best: &Best| best.of_another_value(fact.value).is_some_and(|top| top.at >= floor);
            let first = self.latest_end.partition_point(|best| !late(best));
            let begun = |index: &usize| self.spans[*index].from <= until;
            (first..self.spans.len()).take_while(begun).find_map(found)
        }
    }
}
