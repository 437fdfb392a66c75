#pragma once

#include <span>
#include <vector>

#include "shared/ridge_scores.hpp"
#include "shared/train_job.hpp"

namespace mercer::drivers {

/// Mean of r^2 over the outputs of those rows of a test set that have targets, in the precision of
/// training.
template <class T>
class TestLoss {
 public:
  TestLoss(const net::Network& network, const data::Dataset& test);
  /// Collective.
  double operator()(std::span<const T> w);

 private:
  comm::Communicator comm_;
  net::Evaluator<T> evaluator_;
  Matrix<T> X_, Y_, F_;
  double count_;
};

/// About twenty of the records, as a table.
void print_history(const Session& session, const std::vector<train::Record>& history,
                   const data::Preparation& preparation);
/// Errors of the test rows in the targets' own units and, where they were standardised, over their
/// training deviations; what there is by class. Or how many rows without targets were predicted.
void print_test(const Session& session, const data::Split& sets, const Predictions& predictions);

/// Losses against steps, and residuals along eigen-directions beside what theory predicts.
/// Collective.
void plot_history(const Session& session, const std::vector<train::Record>& history,
                  std::span<const Index> directions, const data::Preparation& preparation);

/// /steps, /loss_train, ... one entry a record. Collective.
void write_history(dist::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<train::Record>& history, std::span<const Index> directions);

/// The same as a table: step, loss_train, residual (|r_t|/|r_0|), loss_test, rate, distance,
/// seconds; a loss_test that is not there is empty. By way of a temporary name. Collective.
void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<train::Record>& history);

/// What --check found: w is the same on every rank, to the bit, and the residual of the final w,
/// evaluated again in double, is the one that training had.
struct TrainCheck {
  bool equal = false;
  double error = 0;  ///< ||r| - |r| of training|/|r_0|
};
template <class T>
TrainCheck check_training(const net::Network& network, const train::State<T>& state,
                          const data::Dataset& train);

}  // namespace mercer::drivers
