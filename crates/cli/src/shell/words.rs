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
    fn what_is_open_is_refused() {
        assert_eq!(split("a \"b"), Err(SplitError::Open('"')));
        assert_eq!(split("a 'b"), Err(SplitError::Open('\'')));
        assert_eq!(split("a \"b\\"), Err(SplitError::Open('"')));
        assert_eq!(split("a \\"), Err(SplitError::Escape));
    }
}
