#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mercer/gram/source.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/net/parameters.hpp"

/// A fitted predictor as data: f(x) = (1/n) sum_i k(x, x_i) alpha_i, with all that new rows need to
/// be prepared like the training rows.
namespace mercer::jobs {

struct RidgeModel {
  gram::Source kernel{};                ///< a function, or a matrix of a file
  data::Preparation preparation{};      ///< of new rows
  dist::RowBlock<double> rows{};        ///< n x d, the prepared training inputs; empty: a reference
  std::uint64_t rows_hash = 0;          ///< data::hash_rows() of them
  dist::RowBlock<double> alpha{};       ///< n x c, with respect to k, in prepared units
  double ridge = 0;                     ///< gamma
  std::optional<double> temperature{};  ///< of class probabilities
  /// Of an empirical kernel: its weights, which are written with the model.
  std::optional<net::StoredNetwork> network{};
  /// How the training rows are read again where the model refers to them: the SPEC is
  /// preparation.train.
  data::Options reading{};
  std::string file{};        ///< that it was read from, for messages
  std::string parameters{};  ///< the weights' file that a model of the first layout needs

  Index n() const { return alpha.rows(); }
  bool refers() const { return rows.rows() == 0; }
};

/// The model of the best fit; the inputs of `train` become the model's. Local.
template <class T>
RidgeModel model_of(const RidgeFit<T>& fit, const gram::Source& kernel, data::Dataset&& train,
                    data::Preparation preparation);

/// /alpha, /ridge, the preparation, the kernel's text, and /training_rows (n x d) or, with
/// `reference`, where they are (`reading` says how they are read) and their hash. The weights of an
/// empirical kernel are written too. Throws InputError for a reference to rows that no file has.
/// Collective.
void write(io::Hdf5File& file, const RidgeModel& model, bool reference = false);
/// Throws InputError where a part is missing or does not fit the others. Reads models of version
/// 0.1.0's first layout too, which refer to their rows. Collective.
RidgeModel read_model(const io::Hdf5File& file);
/// The same of a kernel of your own, which no text tells: the one that the model was fitted with.
RidgeModel read_model(const io::Hdf5File& file, gram::Source kernel);

/// Brings the rows of a model that refers to them: from `spec`, or from where they were; of
/// `options` only the memory limit counts. Throws InputError where these are other rows.
/// Collective.
void load_rows(RidgeModel& model, const std::string& spec, const data::Options& options,
               const comm::Communicator& comm);

/// Memory and time of predictions of m rows. Local.
plan::Plan plan_prediction(const RidgeModel& model, Index m, const Resources& resources);

/// f at `test`, prepared as the training rows were (data::load_test()), with scores where these
/// have targets and probabilities where the model has a temperature. A stored kernel needs the
/// matrix k(test, train): Source::verify_cross() first. m n entries of the kernel. Phase: predict.
/// Collective.
Predictions predict(const RidgeModel& model, const data::Dataset& test, Monitor& monitor,
                    const gram::Options& options = {});

}  // namespace mercer::jobs
