//! `recommendations`.

/// A change of recommendations.
#[derive(Clone, Debug)]
pub enum RecommendationChange {}
