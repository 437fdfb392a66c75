#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/jobs/pairs.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/train/checkpoint.hpp"
#include "mercer/train/descend.hpp"

/// Training of a wide network by preconditioned gradient descent, [G] Algorithm 1 (arXiv
/// 2307.14531): options -> plan -> run. The top pairs that S needs come from an assembled K or from
/// its products alone, as the plan says: K itself is needed nowhere else.
namespace mercer::jobs {

/// What S is made of: nothing (gradient descent), the analytic kernel of the network's
/// architecture, or the network's own tangent kernel.
enum class Precondition { none, kernel, empirical };
std::string name(Precondition precondition);

struct TrainingOptions {
  Precondition precondition = Precondition::none;
  Index top = -1;          ///< how many eigenvalues g changes; -1: all
  std::string g = "flat";  ///< msk::SpectrumMap's text
  spectral::Method method = spectral::Method::automatic;  ///< of the pairs; krylov: by products
  gram::Storage storage = gram::Storage::automatic;       ///< of K in products
  std::string spectrum{};  ///< a file of stored pairs of the same rows and kernel

  std::vector<Index> directions{};  ///< eigenvectors to follow the residual along, from 1
  bool default_directions = false;  ///< with S the first eight and some up to `top`
  bool trace_kernel = false;        ///< |K_t - K_0|/|K_0| at each record: K is assembled for it
  bool operator_spectrum = false;   ///< lambda_max and lambda_min of K_0 S: as above

  train::Options descent{};
  std::string checkpoint{};
  bool resume = false;

  bool preconditioned() const { return precondition != Precondition::none; }
  /// Steps of `block` are made of blocks of rows that each have an S of their own.
  bool blocks() const {
    return descent.batch > 0 && descent.stochastic == train::Stochastic::block;
  }
  /// Throws InputError. Local.
  void validate() const;
  /// For n training rows: checked against them, and with its directions chosen. Throws InputError.
  /// Local.
  TrainingOptions settled(Index n) const;
  /// Whether K of the training rows, or its pairs, are computed. Local.
  bool computes_kernel() const {
    return trace_kernel || ((preconditioned() || !directions.empty()) && spectrum.empty());
  }
  /// What S is, in one line.
  std::string text() const;
};

/// What a training will take.
struct TrainingPlan {
  TrainingOptions options{};  ///< directions chosen
  SpectrumStrategy pairs{};   ///< of S, or of the directions alone
  bool solves = false;        ///< pairs are computed
  Index nb = 0;               ///< block size of the rows that one S is of
  Index nb_asked = 0;         ///< 0: chosen
  std::uint64_t seed = 0;
  bool single = false;
  double activation_bytes = 0;  ///< a rank
  double step_flops = 0;        ///< of all ranks
  io::Identity identity{}, settings{};
  std::vector<std::string> of_rounding{};
  plan::Plan stages;
};
/// `w_0`: the start. T: the network's precision; K and its pairs are in double. Collective.
template <class T>
TrainingPlan plan(const TrainingOptions& options, const net::Network& network,
                  const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                  const Resources& resources, const comm::Communicator& comm,
                  double load_seconds = 0);

/// The kernel whose K gives S and the traced directions: `analytic`, or with
/// Precondition::empirical the network's own at w.
gram::Source training_kernel(const TrainingOptions& options, const gram::Source& analytic,
                             const net::Network& network, std::vector<double> w);

/// lambda_max and lambda_min of K_0 S.
struct Extremes {
  double smallest = 0, largest = 0;
};

template <class T>
struct Training {
  train::Outcome outcome{};
  train::State<T> state{};
  Index first_step = 0;  ///< where it began: 0, or the checkpoint's
  /// The smallest 2/(n (lambda_max + lambda_min)) of K S over the sets ([G] Thm 4.1), with the
  /// least and the largest lambda_min that the known eigenvalues allow; 0: K is not known.
  double bound_from = 0, bound_to = 0;
  std::optional<Extremes> operator_spectrum{};
  double flops = 0;  ///< as counted
};

/// Runs the plan from w_0. Phases: load, assemble, eigensolve, train. The monitor's interrupted()
/// is asked at each step; Error with the code `interrupted` then, after a checkpoint where one was
/// asked for. Collective.
template <class T>
Training<T> train(const TrainingPlan& plan, const net::Network& network, const gram::Source& kernel,
                  const data::Split& sets, std::vector<T> w_0, const dist::ProcessGrid& grid,
                  Monitor& monitor);

/// Whether w is the same on every rank, to the bit, and how far the residual of the final w,
/// evaluated again in double, is from the one that training had.
struct TrainingCheck {
  bool equal = false;
  double error = 0;  ///< ||r| - |r| of training|/|r_0|
};
template <class T>
TrainingCheck check(const Training<T>& training, const net::Network& network,
                    const data::Dataset& train);

/// /steps, /loss_train, ... one entry a record. Collective.
void write_history(io::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<train::Record>& history, std::span<const Index> directions);

/// The records as a table: step, loss_train, residual (|r_t|/|r_0|), loss_test, rate, distance,
/// seconds; a loss_test that is not there is empty. By way of a temporary name. Collective.
void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<train::Record>& history);

}  // namespace mercer::jobs
