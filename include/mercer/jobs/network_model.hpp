#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/monitor.hpp"
#include "mercer/jobs/resources.hpp"
#include "mercer/jobs/scores.hpp"
#include "mercer/net/network.hpp"

/// A trained network as data: f(x; w), and how new rows are prepared like the rows that it was
/// trained on.
namespace mercer::jobs {

struct NetworkModel {
  net::Network network;
  std::vector<double> parameters{};  ///< on every rank
  /// Of new rows. Where not `prepared`, only its dimension and outputs are set, and rows are taken
  /// as they are.
  data::Preparation preparation{};
  bool prepared = false;        ///< the file states a preparation
  Index n = 0;                  ///< training rows; 0: not known
  std::uint64_t rows_hash = 0;  ///< data::hash_rows() of the prepared training inputs; 0: not known
  std::string file{};           ///< for messages

  /// A line on the preparation of new rows, for users. Local.
  std::string text() const;
};

/// Reads what write() of a training wrote, or a weight file of another program (net/parameters.hpp),
/// which states no preparation. `single`: the weights are rounded to float, as those of a training
/// in single precision are. `image`: the shape of the images where the file states none. Throws
/// InputError as net::read_network() and data::read_preparation(), where network and preparation do
/// not fit together, where the file states another shape than `image`, and for a RidgeModel.
/// Collective. Memory: p numbers a rank, and one layer.
NetworkModel read_network_model(const io::Hdf5File& file, bool single = false,
                                const arch::Image& image = {});

/// New rows, prepared as the training rows were (data::load_test(), which says what counts of
/// `options`, and what it throws). Collective.
data::Dataset load_new_rows(const NetworkModel& model, const std::string& spec,
                            const data::Options& options, const comm::Communicator& comm);

/// Memory and time of predictions of m rows. `load_seconds`: what reading them took. Local.
plan::Plan plan_prediction(const NetworkModel& model, Index m, const Resources& resources,
                           double load_seconds = 0);

/// f at the m rows of `test` (load_new_rows()), evaluated in double, in the targets' own units, with
/// scores where these have targets: those of the training run for the same rows, on as many ranks to
/// the bit. 2 p m flops. Phase: predict. Throws InputError where the rows have other inputs or
/// targets than the network, RunError for outputs that are not finite. Collective.
Predictions predict(const NetworkModel& model, const data::Dataset& test, Monitor& monitor);

/// Writes the attribute `network`, the errors as /score (write_errors()) where there are any, and
/// the predictions (write_predictions()). Collective.
void write(io::Hdf5File& file, const NetworkModel& model, const data::Dataset& test,
           const Predictions& predictions);

}  // namespace mercer::jobs
