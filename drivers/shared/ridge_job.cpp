#include "shared/ridge_job.hpp"

#include <cmath>

#include "mercer/data/preparation_file.hpp"
#include "mercer/krr/score.hpp"

namespace mercer::drivers {

void RidgeJob::parse_ridges() {
  if (ridge.empty() == ridge_relative.empty())
    throw InputError(
        "give the ridge once: --ridge G (gamma on K = k/n), --ridge-relative G (times trace(K)/n), "
        "--ridge loo or --ridge gcv");
  relative = ridge.empty();
  const std::string option = relative ? "--ridge-relative" : "--ridge";
  const std::string& text = relative ? ridge_relative : ridge;
  if (text == "loo") score = krr::SpectralPath<double>::Score::leave_one_out;
  if (text == "gcv") score = krr::SpectralPath<double>::Score::gcv;
  if (score.has_value()) return;
  ridges = parse_numbers(option, text);
  for (const double value : ridges)
    if (!(value >= 0 && std::isfinite(value)))
      throw InputError("{} {}: a ridge is a number that is not negative", option, text);
}

Scores evaluate(dist::RowBlock<double>& predictions, const data::Dataset& test,
                const data::Standardization& standardization) {
  auto targets = test.targets.copy();
  Scores scores;
  if (!standardization.target_deviation.empty())
    scores.rmse_standardized = krr::rmse(predictions, targets);
  data::to_target_units(standardization, predictions);
  data::to_target_units(standardization, targets);
  scores.mse = krr::mse(predictions, targets);
  scores.rmse = std::sqrt(scores.mse);
  if (test.classes > 0) scores.accuracy = krr::accuracy(predictions, test.labels);
  return scores;
}

void write_model(dist::Hdf5File& file, const StoredModel& model) {
  file.attribute("/", "options", model.options);
  file.attribute("/", "train", model.train);
  data::write(file, model.preparation);
  file.write("/alpha", model.alpha);
}

StoredModel read_model(const dist::Hdf5File& file) {
  if (!file.contains("/alpha") || !file.has_attribute("/", "options"))
    throw InputError("--model {}: is no result of mercer-krr that can predict (no /alpha)",
                     file.path());
  StoredModel model;
  model.options = file.text_attribute("/", "options");
  model.train = file.text_attribute("/", "train");
  model.preparation = data::read_preparation(file);
  model.alpha = file.read_rows<double>("/alpha");
  return model;
}

}  // namespace mercer::drivers
