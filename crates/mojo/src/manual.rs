//! The manual of the MOJO format, as pages of documentation: no code.
//!
//! The pages are the Markdown files of `crates/mojo/manual`, whose examples are tests.
//!
#![doc = include_str!("../manual/overview.md")]
#![expect(clippy::doc_markdown, reason = "prose: names are as H2O writes them")]

macro_rules! pages {
    ($($page:ident)*) => {
        $(
            #[doc = include_str!(concat!("../manual/", stringify!($page), ".md"))]
            #[doc = ""]
            #[doc = "[`ArchiveError::kind`]: crate::ArchiveError::kind"]
            #[doc = "[`Batch::set_first_row`]: crate::Batch::set_first_row"]
            #[doc = "[`Cell::Absent`]: crate::Cell::Absent"]
            #[doc = "[`Cell::Number`]: crate::Cell::Number"]
            #[doc = "[`Limits`]: crate::Limits"]
            #[doc = "[`LoadOptions::genmodel_quirks`]: crate::LoadOptions::genmodel_quirks"]
            #[doc = "[`Model::is_exact`]: crate::Model::is_exact"]
            #[doc = "[`Model::offers`]: crate::Model::offers"]
            #[doc = "[`Schema::is_open`]: crate::Schema::is_open"]
            #[doc = "[`compact_contributions`]: crate::Model::compact_contributions"]
            #[doc = "[`math`]: crate::math"]
            #[doc = "[`parse_double`]: crate::parse_double"]
            #[doc = "[`rank_contributions`]: crate::rank_contributions"]
            pub mod $page {}
        )*
    };
}

pages! {
    answers
    booster_bytes
    container
    coxph
    deep_learning
    explanations
    extended_isolation_forest
    forests
    gam
    glm
    glrm
    isotonic
    kmeans
    model_ini
    models_of_models
    numbers
    pca
    rows
    rulefit
    svm
    target_encoder
    tree_bytes
    versions
    word2vec
    xgboost
}
