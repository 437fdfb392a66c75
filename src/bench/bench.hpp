#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mercer/data/dataset.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/net/network.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/plan/target.hpp"
#include "mercer/spectral/eigenpairs.hpp"

/// Mercer's stages on this machine, each timed in turn with what it is built on, so that both sides
/// of a ratio come from one run. For mercer-bench: not installed. Functions that return Json print
/// a table, return one JSON object for each row unless they say otherwise, and are collective.
namespace mercer::bench {

using Json = nlohmann::ordered_json;

/// Where the benchmarks run, and how often.
struct Bench {
  const dist::ProcessGrid& grid;
  std::function<void(const std::string&)> print;  ///< one line of the table
  std::uint64_t seed = 0;
  Index nb = 0;             ///< block size; 0: chosen
  int repeat = 5;           ///< runs, of whose times the medians are taken
  double memory_limit = 0;  ///< bytes a rank

  const comm::Communicator& comm() const { return grid.all(); }
  Index block_of(Index n) const {
    return nb > 0 ? nb : spectral::recommended_block(n, grid.shape());
  }
  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) const {
    print(fmt::format(text, std::forward<Args>(args)...));
  }
};

/// Of at least one value. Local.
double median(std::vector<double> values);
/// Seconds of `body` on the slowest rank, all ranks starting together. Collective.
double seconds(const comm::Communicator& comm, const std::function<void()>& body);
/// ?gemm's rate with every rank busy, in flops a second of one rank: the upper bound that the rates
/// of stages are compared with. Collective.
template <class T>
double gemm_peak(const comm::Communicator& comm);

/// Bytes a second that a rank reads of `values`, all ranks at once, the best of three passes: the
/// upper bound for products with a matrix that fits no cache. Collective.
template <class T>
double read_rate(const comm::Communicator& comm, std::span<const T> values);

/// Assembly of K for n points in d dimensions, beside p?syrk of an n x d matrix and dgemm.
Json assembly(const Bench& bench, const kernel::Kernel& kernel, Index n, Index d);

/// Every direct eigensolver beside `automatic`, for each n of `sizes` and each k/n of `shares`.
Json eigensolvers(const Bench& bench, const kernel::Kernel& kernel, const std::vector<Index>& sizes,
                  const std::vector<double>& shares);

/// Kernels of images, a pair of images at a time on every rank: 21 layers of 3x3 relu on 32x32x3
/// with gap and with flatten, and LeNet-5 on 28x28, in double and in single precision, beside the
/// element pass of a dense kernel of as many layers, timed in turn.
Json images(const Bench& bench);

/// The top k eigenpairs by block Krylov beside the direct solvers `against`.
struct KrylovBench {
  std::string data;  ///< a synthetic set without its n, or a SPEC, of which n rows are taken
  data::Options preparation{};
  std::vector<spectral::Method> against{};
  gram::Storage storage = gram::Storage::in_double;
  double tolerance = 1e-8;  ///< residual over lambda_1
  Index block = 0, basis = 0;
};
Json krylov(const Bench& bench, const KrylovBench& options, const kernel::Kernel& kernel,
            const std::vector<Index>& sizes, const std::vector<double>& shares);

/// Block products K V for every storage of K, beside dgemm and the parts of computing a tile.
/// Returns one object: rows, the seconds of the parts, and ratio_on_the_fly.
struct ProductBench {
  Index n = 8192, d = 784, block = 64;
};
/// Bytes that a rank holds while products() runs; below, the same for other benchmarks.
double bytes(const Bench& bench, const ProductBench& options, const kernel::Kernel& kernel);
Json products(const Bench& bench, const ProductBench& options, const kernel::Kernel& kernel);

/// Iterations and seconds of conjugate gradients on a data set, plain and with each preconditioner.
struct CgBench {
  std::vector<double> ranks{};  ///< of pivoted Cholesky, at least one number; 0: none
  Index top = 0;                ///< eigenpairs that precondition; 0: none
  Index outputs = 0;            ///< the most that are solved for; 0: all
  double ridge = 1e-3;          ///< over trace(K)/n
  double tolerance = 1e-6;
  Index iterations = 5000;
  bool single = false;  ///< K stored in single precision
};
/// The number of outputs that are solved for. Local.
Index outputs(const CgBench& options, const data::Dataset& set);
double bytes(const Bench& bench, const CgBench& options, const kernel::Kernel& kernel,
             const data::Dataset& set);
Json conjugate_gradients(const Bench& bench, const CgBench& options, const kernel::Kernel& kernel,
                         const data::Dataset& set);

/// Steps of gradient descent on random rows.
struct TrainBench {
  struct Network {
    std::string text;
    Index n = 0;          ///< rows of a full-batch step
    arch::Image image{};  ///< of networks of images; others take d numbers
  };
  std::vector<Network> networks{
      {"dense(1024) relu dense(1024) relu dense(10)", 8192},
      {"dense(256) relu dense(256) relu dense(10)", 1024},
      {"lenet5", 4096, {28, 28, 1}},
      {"conv(3,64) relu conv(3,64) relu conv(3,64) relu flatten dense(10)", 128, {32, 32, 3}}};
  Index d = 784, top = 200;                 ///< modes of S on residuals
  Index batch = 1024, top_parameters = 50;  ///< a step with S on the parameters
  bool single = true;
};
/// Bytes of the largest of the steps below; flops of a full-batch step of the first network.
double bytes(const Bench& bench, const TrainBench& options);
double flops(const TrainBench& options);
/// A full-batch step of each network, gaussian start: plain, with an S of `top` modes on residuals,
/// and without overlap of the gradient's sum, beside ?gemm's peak and the step's own GEMMs.
/// Then a step of the first network on `batch` rows with S on the parameters, from both starts,
/// beside the plain step and the time that Psi takes to be read twice, by read_rate() of Psi
/// itself, measured in turn with the steps: a row of each.
Json training(const Bench& bench, const TrainBench& options);

/// Time and memory of every method for every n, as the plan forecasts them.
struct ForecastBench {
  std::vector<Index> n{};
  std::vector<std::string> methods{};  ///< of eig, eig-top, krylov, cholesky, cg, product, or all
  gram::Storage storage = gram::Storage::automatic;
  Index d = 784, outputs = 10, predict = 10000, k = 200, rank = 600, columns = 64;
  double iterations = 100;  ///< of cg
  bool single = false;
  double baseline = 0;  ///< bytes that a rank holds before the job starts
};
/// A number of ranks on a machine.
struct ForecastRanks {
  plan::Target target;
  plan::TargetMachine there;
  double limit = 0;  ///< bytes that each rank may hold
};
/// The limits of all, each once. Local.
std::string limits_text(const std::vector<ForecastRanks>& all);
/// Throws InputError for an unknown method. Local.
void check_methods(const std::vector<std::string>& names);
Json forecasts(const Bench& bench, const ForecastBench& options, const kernel::Kernel& kernel,
               const std::vector<ForecastRanks>& ranks);

}  // namespace mercer::bench
