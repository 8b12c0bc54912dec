//! How language models are reached, and what may be spent on them.

use std::collections::BTreeMap;

use secrecy::SecretString;
use url::Url;

use super::names;
use super::values::{ConfigError, Env, wrong_value};

/// Highest budget of a day, in either unit.
const BUDGET_MAX: u64 = 1_000_000_000_000;
const PRICES_MAX: usize = 256;
/// A dollar for a million tokens is a microdollar for one: six decimals of it are kept.
const DECIMALS: u32 = 6;
/// Highest price of a token, in microdollars.
const PRICE_MAX: u64 = 1_000_000;

/// How language models are reached, and what a day may cost.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    pub api_key: Option<SecretString>,
    pub base_url: Url,
    pub prices: Prices,
    pub budget: ModelBudget,
}

impl ModelSettings {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            api_key: env.secret(&names::OPENROUTER_API_KEY)?,
            base_url: env.service_url(&names::OPENROUTER_BASE_URL)?,
            prices: Prices::from_env(env)?,
            budget: ModelBudget {
                day_tokens_max: env.number(&names::JUGGERNAUT_LLM_DAY_TOKENS_MAX, 0..=BUDGET_MAX)?,
                day_microdollars_max: env.number(&names::JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX, 0..=BUDGET_MAX)?,
            },
        })
    }
}

/// What all hosts of a database may spend in a day, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelBudget {
    pub day_tokens_max: u64,
    pub day_microdollars_max: u64,
}

impl Default for ModelBudget {
    /// The registry's; a test holds the two together.
    fn default() -> Self {
        Self { day_tokens_max: 20_000_000, day_microdollars_max: 20_000_000 }
    }
}

/// Of one token, in millionths of a microdollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub prompt: u64,
    pub answer: u64,
}

impl Price {
    /// As much as the dearest models cost: who does not know a price does not spend more than he thinks.
    pub const UNKNOWN: Self = Self { prompt: 15_000_000, answer: 75_000_000 };

    /// In microdollars, rounded up.
    pub fn of(self, prompt_tokens: u64, answer_tokens: u64) -> u64 {
        let whole =
            u128::from(self.prompt) * u128::from(prompt_tokens) + u128::from(self.answer) * u128::from(answer_tokens);
        u64::try_from(whole.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// What models cost, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let name = &names::JUGGERNAUT_LLM_PRICES;
        let Some(text) = env.text(name) else { return Ok(Self::default()) };
        Self::parse(&text).ok_or_else(|| {
            wrong_value(name, &text, "is not a list of MODEL=PROMPT/ANSWER in US dollars for a million tokens")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut prices = BTreeMap::new();
        for entry in text.split(',') {
            let (model, price) = entry.trim().split_once('=')?;
            let (prompt, answer) = price.split_once('/')?;
            let price = Price { prompt: millionths(prompt.trim())?, answer: millionths(answer.trim())? };
            let twice = prices.insert(model.trim().to_owned(), price).is_some();
            if twice || model.trim().is_empty() || prices.len() > PRICES_MAX {
                return None;
            }
        }
        Some(Self(prices))
    }

    pub fn of(&self, model: &str) -> Price {
        self.0.get(model).copied().unwrap_or(Price::UNKNOWN)
    }
}

/// A decimal number, exactly: `0.25` is 250000 millionths.
fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let short = part.len() <= DECIMALS as usize;
    if !plain(whole) || !plain(part) || !short {
        return None;
    }
    let scale = 10_u64.pow(DECIMALS);
    let part_scale = 10_u64.pow(DECIMALS - u32::try_from(part.len()).ok()?);
    let value = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part.parse::<u64>().ok()? * part_scale)?;
    (value <= PRICE_MAX * scale).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<ModelSettings, ConfigError> {
        ModelSettings::from_env(Env(&|name| {
            values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        }))
    }

    #[test]
    fn prices_are_exact_and_an_unknown_model_is_dear() {
        let prices = read(&[("JUGGERNAUT_LLM_PRICES", "a/b=3/15, c/d:free = 0.25/0")]).unwrap().prices;
        assert_eq!(prices.of("a/b").of(1_000_000, 1_000_000), 18_000_000);
        assert_eq!(prices.of("c/d:free").of(1_000_001, 5), 250_001);
        assert_eq!(prices.of("x/y"), Price::UNKNOWN);
        assert_eq!(Price::UNKNOWN.of(1, 1), 90);
        assert_eq!(Price::UNKNOWN.of(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_list_that_is_none_is_refused_by_name() {
        for wrong in
            ["a", "a=1", "a=1/x", "a=-1/1", "a=1/1,a=1/1", "=1/1", "a=1/1,", "a=0.1234567/1", "a=1000001/1", "a=./1"]
        {
            let error = read(&[("JUGGERNAUT_LLM_PRICES", wrong)]).unwrap_err().to_string();
            assert!(error.starts_with("JUGGERNAUT_LLM_PRICES is "), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_default_budget_is_the_registry_s() {
        assert_eq!(read(&[]).unwrap().budget, ModelBudget::default());
        let none = read(&[("JUGGERNAUT_LLM_DAY_TOKENS_MAX", "0")]).unwrap().budget;
        assert_eq!(none.day_tokens_max, 0);
        assert!(read(&[("JUGGERNAUT_LLM_DAY_MICRODOLLARS_MAX", "1000000000001")]).is_err());
    }
}
