//! Request bodies, refused in GitHub's words.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The object that a client sent. Fields that nobody asks for are ignored, as GitHub does.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, ApiError> {
        let refuse = |message| ApiError::new(StatusCode::BAD_REQUEST, message);
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(refuse("Body should be a JSON object")),
            Err(_) => Err(refuse("Problems parsing JSON")),
        }
    }

    /// For requests whose fields are all optional.
    pub(super) fn parse_or_empty(bytes: &Bytes) -> Result<Self, ApiError> {
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        Self::parse(bytes)
    }

    /// Refuses the request with all missing fields at once.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), ApiError> {
        let missing: Vec<String> = names
            .iter()
            .filter(|name| self.0.get(**name).is_none_or(Value::is_null))
            .map(|name| format!("\"{name}\""))
            .collect();
        let verb = match missing.len() {
            0 => return Ok(()),
            1 => "wasn't",
            _ => "weren't",
        };
        Err(invalid(&format!("{} {verb} supplied.", missing.join(", "))))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong_type(name, other, "a string")),
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, ApiError> {
        self.require(&[name])?;
        Ok(self.text(name)?.unwrap_or_default())
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong_type(name, other, "a boolean")),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self(fields.clone()))),
            Some(other) => Err(wrong_type(name, other, "an object")),
        }
    }

    /// All of them, which must be strings.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, ApiError> {
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            other => Err(wrong_type(name, other, "a string")),
        };
        self.0.iter().map(text).collect()
    }

    /// A string out of a fixed set.
    pub(super) fn choice<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        serde_json::from_value(Value::String(text.clone()))
            .map(Some)
            .map_err(|_| invalid(&format!("For 'properties/{name}', {text} is not one of the allowed values.")))
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::unprocessable(format!("Invalid request.\n\n{message}"))
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> ApiError {
    invalid(&format!("For 'properties/{name}', {value} is not {wanted}."))
}

/// For the forge's own endpoints: typed, strict, and explained.
pub(super) fn strict<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::unprocessable(format!("{error}; the module docs of forge show every body")))
}
