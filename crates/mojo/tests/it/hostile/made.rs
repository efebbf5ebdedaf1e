//! MOJOs of algorithms that the corpus does not have: those that H2O-3 reads but never writes.

use super::zip::Entry;

const SVM: &str = "\
[info]
algorithm = Support Vector Machine (*Spark*)
category = Binomial
supervised = true
n_features = 3
n_classes = 2
n_columns = 4
n_domains = 1
mojo_version = 1.00
default_threshold = 0.5
meanImputation = true
means = [0.5, -1.25, 3.0]
weights = [1.0, 0.25, -2.5]
interceptor = 0.75
threshold = 0.0
defaultThreshold = 0.1

[columns]
x
y
z
label

[domains]
3: 2 d000.txt
";

const KLIME: &str = "\
[info]
algorithm = k-LIME
category = Regression
supervised = true
n_features = 3
n_classes = 1
n_columns = 4
n_domains = 1
mojo_version = 1.00
submodel_count = 3
submodel_key_0 = clusters
submodel_dir_0 = models/clusters/
submodel_key_1 = all
submodel_dir_1 = models/all/
submodel_key_2 = first
submodel_dir_2 = models/first/
clustering_model = clusters
global_regression_model = all
cluster_num = 2
cluster_regression_model_0 = first

[columns]
colour
x
y
answer

[domains]
0: 3 d000.txt
";

const CLUSTERS: &str = "\
[info]
algorithm = K-means
category = Clustering
supervised = false
n_features = 2
n_classes = 1
n_columns = 2
n_domains = 0
mojo_version = 1.00
standardize = false
center_num = 2
center_0 = [0.0, 1.0]
center_1 = [2.0, -1.0]

[columns]
x
y

[domains]
";

const GLM: &str = "\
[info]
algorithm = Generalized Linear Model
category = Regression
supervised = true
n_features = 3
n_classes = 1
n_columns = 4
n_domains = 1
mojo_version = 1.00
use_all_factor_levels = true
cats = 1
cat_offsets = [0, 3]
nums = 2
cat_modes = [1]
num_means = [0.5, 0.25]
mean_imputation = true
beta = [0.5, -0.5, 1.5, 2.0, -1.0, 0.125]
family = gaussian
link = identity
tweedie_link_power = 0.0

[columns]
colour
x
y
answer

[domains]
0: 3 d000.txt
";

/// The one model of its algorithm; `None` if the corpus has models of it.
pub(super) fn model(algorithm: &str) -> Option<Vec<Entry>> {
    let text = |(name, text): &(&str, &str)| Entry::new(name, text.as_bytes());
    let colours = "red\ngreen\nblue\n";
    let entries: &[(&str, &str)] = match algorithm {
        "svm" => &[("model.ini", SVM), ("domains/d000.txt", "no\nyes\n")],
        "klime" => &[
            ("model.ini", KLIME),
            ("domains/d000.txt", colours),
            ("models/clusters/model.ini", CLUSTERS),
            ("models/all/model.ini", GLM),
            ("models/all/domains/d000.txt", colours),
            ("models/first/model.ini", GLM),
            ("models/first/domains/d000.txt", colours),
        ],
        _ => return None,
    };
    Some(entries.iter().map(text).collect())
}
