//! Numbers for people and programs.

use serde_json::{Value, json};

/// The middle of a list of numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match (numbers.len(), numbers.get(numbers.len() / 2)) {
        (0, _) | (_, None) => f64::NAN,
        (len, Some(upper)) if len % 2 == 1 => *upper,
        (len, Some(upper)) => (numbers[len / 2 - 1] + upper) / 2.0,
    }
}

/// The number that this share of a list does not exceed.
pub fn percentile(mut numbers: Vec<f64>, share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    // Nearest rank.
    let rank = (share * numbers.len() as f64).ceil() as usize;
    numbers.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Three digits are more than a shared machine repeats.
pub fn rounded(number: f64) -> Value {
    if !number.is_finite() || number == 0.0 {
        return Value::Null;
    }
    let scale = 10_f64.powf(3.0 - number.abs().log10().floor());
    json!((number * scale).round() / scale)
}

/// One line of the report.
pub fn line(value: &Value) {
    println!("{value}");
}
