#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mercer/gram/source.hpp"
#include "mercer/jobs/ridge.hpp"
#include "mercer/jobs/scores.hpp"

/// A fitted predictor as data: f(x) = (1/n) sum_i k(x, x_i) alpha_i, and how new rows are prepared
/// like the training rows.
namespace mercer::jobs {

struct RidgeModel {
  gram::Source kernel{};                ///< a function, or a matrix in a file
  data::Preparation preparation{};      ///< of new rows
  dist::RowBlock<double> rows{};        ///< n x d, the prepared training inputs; empty: refers()
  std::uint64_t rows_hash = 0;          ///< data::hash_rows() of them
  dist::RowBlock<double> alpha{};       ///< n x c, with respect to k, in prepared units
  double ridge = 0;                     ///< gamma
  std::optional<double> temperature{};  ///< of class probabilities
  /// How to read the training rows again where the model refers to them; the SPEC is
  /// preparation.train.
  data::Options reading{};
  /// Where the kernel is a matrix in a file: the kernel function whose values that held, if it said.
  std::optional<std::string> matrix_kernel{};
  std::string file{};        ///< the file that it was read from, for messages
  std::string parameters{};  ///< file of the weights that a model of the first layout needs

  Index n() const { return alpha.rows(); }
  /// The training rows are not stored, only where they are (load_rows()).
  bool refers() const { return rows.rows() == 0; }
};

/// The model of the best fit, complete: the kernel of the plan, the prepared rows (`train.inputs`
/// moves into it) and how they were read (Dataset::reading). Throws InputError where `train` is not
/// the set of the fit. Collective.
RidgeModel model_of(const RidgePlan& plan, const RidgeFit& fit, data::Dataset&& train,
                    data::Preparation preparation);

/// Writes all that predicts new rows: /alpha, /ridge, the preparation, the kernel's text, n, the
/// SPEC, reading options and hash of the training rows, the temperature, and unless `reference` the
/// rows themselves, /training_rows (n x d). The weights of an empirical kernel
/// (net::empirical_kernel()) are written too. Throws InputError for a model that read_model() could
/// not read (parts that do not fit each other, numbers that are not finite, an empirical kernel of
/// net::Outputs::full) and for a reference to rows that no file has. A kernel of a program's own
/// is written by its text: read it with the second read_model(). Collective.
void write(io::Hdf5File& file, const RidgeModel& model, bool reference = false);
/// How rows were read, for records: every option's name, as in a model's attribute `options`, and
/// its value. Local.
std::vector<std::pair<std::string, std::string>> settings_of(const data::Options& reading);

/// Reads what write() wrote, or a model of the first layout (before 0.1.0), which refers to its
/// rows.
/// Throws InputError where a part is missing or does not fit the others. Collective.
RidgeModel read_model(const io::Hdf5File& file);
/// The same for a kernel that cannot be made from its text (kernel::radial(), kernel::pairwise()).
/// `kernel` must be the one that the model was fitted with; InputError where its text differs.
/// Collective.
RidgeModel read_model(const io::Hdf5File& file, gram::Source kernel);

/// Loads the training rows of a model that refers to them, from `spec`, or where that is empty from
/// preparation.train. Of `options` only the memory limit counts. Throws InputError where the rows
/// are not those of the model. Collective.
void load_rows(RidgeModel& model, const std::string& spec, const data::Options& options,
               const comm::Communicator& comm);

/// Memory and time of predictions of m rows. Local.
plan::Plan plan_prediction(const RidgeModel& model, Index m, const Resources& resources);

/// Verifies the files of a stored kernel for predictions of `test` (Source::verify_cross()), which
/// must hold k(test, train); what they leave unverified goes to the monitor's log. Nothing for a
/// kernel function. predict() does it too: call it before, to know before other work. Throws
/// InputError as verify_cross(). Collective.
void verify_kernel(RidgeModel& model, const data::Dataset& test, Monitor& monitor);

/// f at the m rows of `test`, prepared as the training rows were (data::load_test()), with scores
/// where these have targets and probabilities where the model has a temperature. m n entries of the
/// kernel; a stored one is verified. Phase: predict. Throws InputError where the model refers to
/// rows that were not loaded, where the rows have other inputs or targets than the training rows,
/// and as verify_kernel(). Collective.
Predictions predict(const RidgeModel& model, const data::Dataset& test, Monitor& monitor,
                    const gram::Options& options = {});

}  // namespace mercer::jobs
