//! Cron expressions: five fields, UTC.
//!
//! Of what the library reads, only what every cron knows is let through: numbers, names of months and days, `*`, `,`, `-`
//! and `/`. Where both days are restricted, either one suffices, as everywhere.

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};
use time::OffsetDateTime;

const EXPRESSION_CHARS_MAX: usize = 200;
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One of the five.
struct Field {
    name: &'static str,
    numbers: RangeInclusive<u8>,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", numbers: 0..=59, names: &[] },
    Field { name: "hour", numbers: 0..=23, names: &[] },
    Field { name: "day of the month", numbers: 1..=31, names: &[] },
    Field { name: "month", numbers: 1..=12, names: MONTHS },
    Field { name: "day of the week", numbers: 0..=7, names: DAYS },
];

/// Why a text is no schedule's time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCron(String);

/// An expression that fires again and again.
#[derive(Clone)]
pub struct Cron {
    text: String,
    parsed: croner::Cron,
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cron {
    /// Reads an expression. One that can never fire is refused: `now` is where the search begins.
    pub fn parse(text: &str, now: OffsetDateTime) -> Result<Self, InvalidCron> {
        if text.chars().count() > EXPRESSION_CHARS_MAX {
            return Err(InvalidCron(format!("is longer than {EXPRESSION_CHARS_MAX} characters")));
        }
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        if fields.len() != FIELDS.len() {
            let names = FIELDS.map(|field| field.name).join(", ");
            return Err(InvalidCron(format!(
                "has {} fields and must have 5: {names}; for example \"*/15 8-18 * * MON-FRI\"",
                fields.len()
            )));
        }
        for (position, (given, field)) in fields.iter().zip(&FIELDS).enumerate() {
            check(position, given, field)?;
        }
        let text = fields.join(" ");
        let parsed = read(&text).map_err(|error| InvalidCron(format!("is not understood: {error}")))?;
        let cron = Self { text, parsed };
        match cron.after(now) {
            Some(_) => Ok(cron),
            None => Err(InvalidCron("never fires: no month has that day".to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The next time after this one.
    pub fn after(&self, time: OffsetDateTime) -> Option<OffsetDateTime> {
        let found = self.parsed.find_next_occurrence(&to_chrono(time)?, false).ok()?;
        from_chrono(found)
    }

    /// The newest time that is not after this one.
    pub fn at_or_before(&self, time: OffsetDateTime) -> Option<OffsetDateTime> {
        let found = self.parsed.find_previous_occurrence(&to_chrono(time)?, true).ok()?;
        from_chrono(found)
    }
}

fn read(text: &str) -> Result<croner::Cron, croner::errors::CronError> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(text)
}

/// One field by itself, so that an error can name it.
fn check(position: usize, given: &str, field: &Field) -> Result<(), InvalidCron> {
    let Field { name, numbers, names } = field;
    let named =
        if names.is_empty() { String::new() } else { format!(", names ({} to {})", names[0], names[names.len() - 1]) };
    let usage = format!("it takes {} to {}{named}, '*', lists, ranges and steps", numbers.start(), numbers.end());
    let wrong = |problem: &str| InvalidCron(format!("has {given:?} as its {name}, which {problem}; {usage}"));
    let known = |word: &str| {
        let number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        number || names.contains(&word.to_ascii_uppercase().as_str())
    };
    for item in given.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let words = if range == "*" { vec![] } else { range.splitn(2, '-').collect() };
        if let Some(word) = words.into_iter().chain([step]).find(|word| !known(word)) {
            let shown: String = word.chars().take(20).collect();
            return Err(wrong(&format!("has {shown:?} where it should have a number or a name")));
        }
    }
    let mut alone = ["*"; 5];
    alone[position] = given;
    match read(&alone.join(" ")) {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong("is out of its range or malformed")),
    }
}

fn to_chrono(time: OffsetDateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.unix_timestamp(), 0)
}

fn from_chrono(time: DateTime<Utc>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-27 15:41:51.5 UTC);

    fn next(text: &str) -> OffsetDateTime {
        Cron::parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}")).after(NOW).unwrap()
    }

    #[test]
    fn the_next_time_is_the_one_that_cron_means() {
        for (text, expected) in [
            ("* * * * *", datetime!(2026-11-27 15:42 UTC)),
            ("*/15 * * * *", datetime!(2026-11-27 15:45 UTC)),
            ("0 9 * * MON-FRI", datetime!(2026-11-30 9:00 UTC)),
            ("0 0 1,15 * *", datetime!(2026-12-01 0:00 UTC)),
            ("30 8 * jan,JUL *", datetime!(2027-01-01 8:30 UTC)),
            ("0 0 29 2 *", datetime!(2028-02-29 0:00 UTC)),
            ("0 0 * * 7", datetime!(2026-11-29 0:00 UTC)),
            ("0 0 * * 0", datetime!(2026-11-29 0:00 UTC)),
            // Either day suffices.
            ("0 0 13 * FRI", datetime!(2026-12-04 0:00 UTC)),
            ("5-10/5   16\t* * *", datetime!(2026-11-27 16:05 UTC)),
        ] {
            assert_eq!(next(text), expected, "{text}");
        }
        let cron = Cron::parse("0 * * * *", NOW).unwrap();
        assert_eq!(cron.at_or_before(NOW), Some(datetime!(2026-11-27 15:00 UTC)));
        let on_time = datetime!(2026-11-27 15:00 UTC);
        assert_eq!(cron.at_or_before(on_time), Some(on_time));
        assert_eq!(cron.after(on_time), Some(datetime!(2026-11-27 16:00 UTC)));
    }

    #[test]
    fn an_error_names_the_field() {
        for (text, expected) in [
            ("61 * * * *", "has \"61\" as its minute, which is out of its range"),
            ("* 24 * * *", "as its hour"),
            ("* * 0 * *", "as its day of the month"),
            ("* * 32 * *", "as its day of the month"),
            ("* * * 13 *", "as its month"),
            ("* * * * 8", "as its day of the week"),
            (
                "* * * * FRIDAY",
                "has \"FRIDAY\" as its day of the week, which has \"FRIDAY\" where it should have a number or a name; it takes 0 to 7, names (SUN to SAT)",
            ),
            ("* * * MON *", "as its month"),
            ("* * L * *", "as its day of the month"),
            ("* * 15W * *", "as its day of the month"),
            ("* * * * MON#2", "as its day of the week"),
            ("? * * * *", "as its minute"),
            ("*/0 * * * *", "as its minute"),
            ("10-5 * * * *", "as its minute"),
            ("1,,2 * * * *", "as its minute"),
            ("- * * * *", "as its minute"),
            ("1\u{0660} * * * *", "as its minute"),
            ("* * * *", "has 4 fields and must have 5: minute, hour"),
            ("0 * * * * *", "has 6 fields"),
            ("", "has 0 fields"),
            ("@daily", "has 1 fields"),
            ("0 0 30 2 *", "never fires"),
            ("0 0 31 4,6,9,11 *", "never fires"),
        ] {
            let error = Cron::parse(text, NOW).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Cron::parse(&format!("{} * * * *", "1,".repeat(150)), NOW).is_err());
    }

    #[test]
    fn a_search_without_end_ends_soon() {
        let began = Instant::now();
        assert!(Cron::parse("59 23 30 2 *", NOW).is_err());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
