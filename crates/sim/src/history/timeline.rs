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

/// More writes than this that may have been the newest at one time are not looked at one by one.
const INTERVALS_MAX: usize = 64;

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
    /// For each end of `spans`: how soon one of its definite ones had certainly acted, as [`Best`] of what is left until
    /// [`At::MAX`].
    soonest_end: Vec<Best>,
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
    /// The `from` and the soonest `to` of each end of the definite ones, by `from`.
    soonest_end: Vec<(At, At)>,
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

    fn and(self, other: Best) -> Best {
        [other.first, other.second].into_iter().flatten().fold(self, Best::with)
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
        let mut soonest_end = vec![Best::default(); spans.len() + 1];
        for (index, span) in spans.iter().enumerate().rev().filter(|(_, span)| span.definite) {
            let of = values.entry(span.value).or_default();
            let soonest = of.soonest_end.last().map_or(span.to, |(_, soonest)| span.to.min(*soonest));
            of.soonest_end.push((span.from, soonest));
            soonest_end[index] = Best::default().with(Top { value: span.value, at: At::MAX - span.to, span: index });
        }
        for index in (0..spans.len()).rev() {
            soonest_end[index] = soonest_end[index].and(soonest_end[index + 1]);
        }
        values.values_mut().for_each(|of| of.soonest_end.reverse());
        Timeline { spans, latest_end, definite, latest_start, soonest_end, values }
    }

    /// The intervals in which the register may have been as the fact says, judged by each write that the fact may rest on
    /// (see [`Timeline::earliest`]): from when it may have acted until another had certainly acted that came after it.
    /// None when there are too many to tell.
    pub(super) fn intervals(&self, fact: Fact, floor: At, until: At, own: usize) -> Option<Vec<(At, At)>> {
        let first = self.latest_end.partition_point(|best| best.first.is_none_or(|top| top.at < floor));
        let begun = self.spans[first..].iter().take_while(|span| span.from <= until);
        let fits = |span: &&Span| fact.fits(span.value) && span.to >= floor && span.by != Some(own);
        let mut intervals = Vec::new();
        for (number, span) in begun.enumerate() {
            if number == INTERVALS_MAX {
                return None;
            }
            intervals.extend(Some(span).filter(fits).map(|span| (span.from, self.replaced(fact, span.to))));
        }
        Some(intervals)
    }

    /// The one write that the fact may rest on (see [`Timeline::earliest`]); none if there are several, or too many to tell.
    pub(super) fn only(&self, fact: Fact, floor: At, until: At, own: usize) -> Option<&Span> {
        let first = self.latest_end.partition_point(|best| best.first.is_none_or(|top| top.at < floor));
        let begun = self.spans[first..].iter().take_while(|span| span.from <= until).take(INTERVALS_MAX + 1);
        let (mut found, mut looked) = (None, 0);
        for span in begun {
            looked += 1;
            if fact.fits(span.value) && span.to >= floor && span.by != Some(own) && found.replace(span).is_some() {
                return None;
            }
        }
        found.filter(|_| looked <= INTERVALS_MAX)
    }

    /// Writes that certainly acted, that the fact contradicts, and that were under way between these moments. Not all of
    /// them, if there are very many.
    pub(super) fn contradictions(&self, fact: Fact, from: At, until: At) -> impl Iterator<Item = &Span> {
        let first = self.definite.partition_point(|index| self.spans[*index].to < from);
        let spans = self.definite[first..].iter().take(INTERVALS_MAX).map(|index| &self.spans[*index]);
        spans.filter(move |span| span.from <= until && !fact.fits(span.value))
    }

    /// When the first write had certainly acted that the fact contradicts and that began after `after`.
    fn replaced(&self, fact: Fact, after: At) -> At {
        let soonest = if fact.holds {
            let first = self.spans.partition_point(|span| span.from <= after);
            self.soonest_end.get(first).and_then(|best| best.of_another_value(fact.value)).map(|top| At::MAX - top.at)
        } else {
            let of = self.values.get(&fact.value);
            of.and_then(|of| {
                let first = of.soonest_end.partition_point(|(from, _)| *from <= after);
                of.soonest_end.get(first).map(|(_, soonest)| *soonest)
            })
        };
        soonest.unwrap_or(At::MAX)
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
