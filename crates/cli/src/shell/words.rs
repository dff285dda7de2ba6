//! Words of a line: separated by blanks; `"…"` and `'…'` keep blanks together, anywhere in a word; `\` takes the next
//! character as it is, except within `'…'`.

use thiserror::Error;

/// A line that has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// A quote without its other half.
    #[error("a quote is not closed: {0}")]
    Open(char),
    /// Nothing follows the last `\`.
    #[error("the line ends with a single \\")]
    Escape,
}

/// Splits a line.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut characters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut characters, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next().ok_or(SplitError::Escape)?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The last word of a line that is not finished: where it begins, and what it is so far. Whether a quote is still open does
/// not matter.
pub fn last(line: &str) -> (usize, String) {
    let (mut start, mut word) = (0, String::new());
    let mut open = None;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match (character, open) {
            (' ' | '\t', None) => (start, word) = (at + 1, String::new()),
            ('\'' | '"', None) => open = Some(character),
            (quote, Some(opened)) if quote == opened => open = None,
            ('\\', None | Some('"')) => word.extend(characters.next().map(|(_, escaped)| escaped)),
            (other, _) => word.push(other),
        }
    }
    (start, word)
}

/// A word as it can be typed.
pub fn escaped(word: &str) -> String {
    let special = |c: char| matches!(c, ' ' | '\t' | '\'' | '"' | '\\');
    word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn quoted(characters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), SplitError> {
    loop {
        match characters.next().ok_or(SplitError::Open(quote))? {
            character if character == quote => return Ok(()),
            '\\' if quote == '"' => word.push(characters.next().ok_or(SplitError::Open(quote))?),
            character => word.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        let check = |line: &str, expected: &[&str]| assert_eq!(split(line).unwrap(), expected, "{line}");
        check("", &[]);
        check("  \t ", &[]);
        check(" key  list\t-v ", &["key", "list", "-v"]);
        check("attr.label=\"my key\"", &["attr.label=my key"]);
        check("'a b'\"c d\"e", &["a bc de"]);
        check("\"\" ''", &["", ""]);
        check(r#""a\"b" 'a\b' a\ b"#, &["a\"b", "a\\b", "a b"]);
        check("über \"größe 1\"", &["über", "größe 1"]);
    }

    #[test]
    fn the_last_word_is_known_before_the_line_is_finished() {
        let check = |line: &str, start: usize, word: &str| assert_eq!(last(line), (start, word.to_owned()), "{line}");
        check("", 0, "");
        check("key li", 4, "li");
        check("key list ", 9, "");
        check("--path \"my fi", 7, "my fi");
        check("--path my\\ fi", 7, "my fi");
        check("--path 'a \\'", 7, "a \\");
        check("a 'b c' d", 8, "d");
        check("größe ä", 8, "ä");
        check("a \\", 2, "");
    }

    #[test]
    fn an_escaped_word_reads_back() {
        for word in ["plain", "my key", "a\"b'c\\d\te", "größe", "$HOME;*"] {
            assert_eq!(split(&escaped(word)), Ok(vec![word.to_owned()]), "{word}");
        }
    }

    #[test]
    fn what_is_open_is_refused() {
        assert_eq!(split("a \"b"), Err(SplitError::Open('"')));
        assert_eq!(split("a 'b"), Err(SplitError::Open('\'')));
        assert_eq!(split("a \"b\\"), Err(SplitError::Open('"')));
        assert_eq!(split("a \\"), Err(SplitError::Escape));
    }
}
