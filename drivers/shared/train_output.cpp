#include "shared/train_output.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "mercer/krr/score.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/report/plot.hpp"

namespace mercer::drivers {

using train::Record;

namespace {

constexpr std::size_t kLines = 20;  // of the table
constexpr std::size_t kCurves = 7;  // of the plot: as many as there are colours

/// Columns `which` of A.
template <class T>
Matrix<T> converted(MatrixView<const double> A, const std::vector<Index>& which) {
  Matrix<T> B(A.rows, static_cast<Index>(which.size()));
  for (Index j = 0; j < B.cols(); ++j)
    for (Index i = 0; i < A.rows; ++i)
      B(i, j) = static_cast<T>(A(i, which[static_cast<std::size_t>(j)]));
  return B;
}

/// The local rows that have targets.
std::vector<Index> known_rows(const data::Dataset& set) {
  std::vector<Index> which;
  for (Index i = 0; i < set.inputs.local_rows(); ++i)
    if (set.known(i)) which.push_back(i);
  return which;
}

/// Places of about `count` of `size` records: the first, the last, and between them evenly by
/// place, because the records themselves are dense at first.
std::vector<std::size_t> thinned(std::size_t size, std::size_t count) {
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < std::min(size, count); ++i)
    places.insert(size <= count
                      ? i
                      : static_cast<std::size_t>(std::lround(static_cast<double>(i * (size - 1)) /
                                                             static_cast<double>(count - 1))));
  return {places.begin(), places.end()};
}

std::vector<double> column(const std::vector<Record>& history, double Record::*value) {
  std::vector<double> values;
  for (const Record& record : history) values.push_back(record.*value);
  return values;
}

std::vector<double> steps(const std::vector<Record>& history) {
  std::vector<double> values;
  for (const Record& record : history) values.push_back(static_cast<double>(record.step));
  return values;
}

}  // namespace

template <class T>
TestLoss<T>::TestLoss(const net::Network& network, const data::Dataset& test)
    : comm_(test.inputs.comm()),
      evaluator_(network, test.inputs.local_rows(), kTestMemory),
      X_(converted<T>(test.inputs.transposed(), known_rows(test))),
      Y_(converted<T>(test.targets.transposed(), known_rows(test))),
      F_(test.outputs(), X_.cols()),
      count_(static_cast<double>(test.known_rows * test.outputs())) {}

template <class T>
double TestLoss<T>::operator()(std::span<const T> w) {
  evaluator_.outputs(w, X_.view(), F_.view());
  double sum = 0;
  for (Index j = 0; j < F_.cols(); ++j)
    for (Index i = 0; i < F_.rows(); ++i) {
      const double r = static_cast<double>(F_(i, j)) - static_cast<double>(Y_(i, j));
      sum += r * r;
    }
  return comm_.all_reduce(sum, comm::Op::sum) / count_;
}

void print_history(const Session& session, const std::vector<Record>& history,
                   const data::Preparation& preparation) {
  const bool test = !history.empty() && history.front().loss_test >= 0;
  session.say("\nlosses are means of r^2, r in {}", prepared_unit(preparation));
  session.say("{:>10}  {:>12}  {:>12}{}  {:>12}  {:>10}", "step", "loss", "|r|/|r_0|",
              test ? "     test loss" : "", "eta", "seconds");
  for (const std::size_t i : thinned(history.size(), kLines)) {
    const Record& r = history[i];
    session.say("{:>10}  {:>12.5e}  {:>12.5e}{}  {:>12.5e}  {:>10.2f}", r.step, r.loss, r.residual,
                test ? fmt::format("  {:>12.5e}", r.loss_test) : "", r.rate, r.seconds);
  }
}

void print_test(const Session& session, const data::Split& sets, const Predictions& predictions) {
  const Scores& scores = predictions.scores;
  if (scores.known()) {
    std::string text =
        fmt::format("test    rmse {:.6g} in {}", *scores.rmse, unit_of(sets.preparation));
    if (scores.rmse_standardized.has_value())
      text +=
          fmt::format(" ({:.6g} in deviations of the training targets)", *scores.rmse_standardized);
    if (std::isfinite(*scores.r2)) text += fmt::format(", R^2 {:.6f}", *scores.r2);
    if (scores.accuracy.has_value()) text += fmt::format(", accuracy {:.4f}", *scores.accuracy);
    session.say("{}", text);
  }
  print_predictions(session, *sets.test, predictions);
}

void plot_history(const Session& session, const std::vector<Record>& history,
                  std::span<const Index> directions, const data::Preparation& preparation) {
  const auto x = steps(history);
  std::vector<report::Plot> panels;
  report::Plot loss{
      .title = "Loss: mean of r^2, r in " + prepared_unit(preparation),
      .x_label = "step (logarithmic: without step 0)",
      .y_label = "loss",
      .log_x = true,
      .log_y = true,
      .series = {{.label = "training rows", .x = x, .y = column(history, &Record::loss)}}};
  if (!history.empty() && history.front().loss_test >= 0)
    loss.series.push_back({.label = "test rows", .x = x, .y = column(history, &Record::loss_test)});
  panels.push_back(std::move(loss));
  if (!directions.empty()) {
    report::Plot panel{.title = "Residual by direction (lines: linear theory)",
                       .x_label = "step (logarithmic: without step 0)",
                       .y_label = "|v_i^T r_t|",
                       .log_x = true,
                       .log_y = true,
                       .series = {}};
    // Directions that the targets have a part in; the others would show rounding.
    const auto& r_0 = history.front().directions;
    std::vector<std::size_t> present;
    for (std::size_t d = 0; d < directions.size(); ++d)
      if (r_0[d] > 1e-6 * *std::ranges::max_element(r_0)) present.push_back(d);
    int colour = 0;
    double smallest = std::numeric_limits<double>::infinity();
    for (const std::size_t place : thinned(present.size(), kCurves)) {
      const std::size_t d = present[place];
      report::Series measured{.label = fmt::format("i = {}", directions[d]),
                              .x = x,
                              .y = {},
                              .style = report::Style::points,
                              .colour = colour};
      report::Series theory{.label = "", .x = x, .y = {}, .colour = colour++};
      for (const Record& record : history) {
        measured.y.push_back(record.directions[d]);
        theory.y.push_back(record.predicted[d]);
      }
      for (const double y : measured.y)
        if (y > 0) smallest = std::min(smallest, y);
      panel.series.push_back(std::move(theory));
      panel.series.push_back(std::move(measured));
    }
    // The prediction soon is far below anything that a finite network reaches.
    if (std::isfinite(smallest)) panel.y_from = 0.1 * smallest;
    panels.push_back(std::move(panel));
  }
  session.draw(panels);
}

void write_history(dist::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<Record>& history, std::span<const Index> directions) {
  file.write("/steps", steps(history));
  file.write("/loss_train", column(history, &Record::loss));
  file.write("/loss_preconditioned", column(history, &Record::loss_preconditioned));
  file.write("/residual", column(history, &Record::residual));
  file.write("/rate", column(history, &Record::rate));
  file.write("/distance", column(history, &Record::distance));
  file.write("/seconds", column(history, &Record::seconds));
  if (history.empty()) return;
  if (history.front().loss_test >= 0) file.write("/loss_test", column(history, &Record::loss_test));
  if (history.front().kernel_change >= 0)
    file.write("/kernel_change", column(history, &Record::kernel_change));
  if (directions.empty()) return;
  file.write("/directions", std::vector<double>(directions.begin(), directions.end()));
  const auto table = [&](const char* name, std::vector<double> Record::*values) {
    dist::RowBlock<double> rows(comm, static_cast<Index>(history.size()),
                                static_cast<Index>(directions.size()));
    for (Index i = 0; i < rows.local_rows(); ++i)
      std::ranges::copy(history[static_cast<std::size_t>(rows.first_row() + i)].*values,
                        rows.row(i).begin());
    file.write(name, rows);
  };
  table("/residual_by_eigendirection", &Record::directions);
  table("/residual_predicted", &Record::predicted);
}

void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<Record>& history) {
  std::string text = "step,loss_train,residual,loss_test,rate,distance,seconds\n";
  for (const Record& r : history)
    text += fmt::format("{},{:.10g},{:.10g},{},{:.10g},{:.10g},{:.6g}\n", r.step, r.loss,
                        r.residual, r.loss_test < 0 ? "" : fmt::format("{:.10g}", r.loss_test),
                        r.rate, r.distance, r.seconds);
  report::write_text(comm, path, text);
}

template <class T>
TrainCheck check_training(const net::Network& network, const train::State<T>& state,
                          const data::Dataset& train) {
  const auto& comm = train.inputs.comm();
  const auto hash = net::hash<T>(state.w);
  const auto F =
      net::outputs(network, std::vector<double>(state.w.begin(), state.w.end()), train.inputs);
  const double count = static_cast<double>(train.rows() * train.outputs());
  const double now = std::sqrt(krr::mse(F, train.targets) * count);
  const double then = std::sqrt(state.history.back().loss * count);
  return {.equal = comm.all_reduce(hash, comm::Op::min) == comm.all_reduce(hash, comm::Op::max),
          .error = std::abs(now - then) / state.first_residual};
}

template class TestLoss<double>;
template class TestLoss<float>;
template TrainCheck check_training<double>(const net::Network&, const train::State<double>&,
                                           const data::Dataset&);
template TrainCheck check_training<float>(const net::Network&, const train::State<float>&,
                                          const data::Dataset&);

}  // namespace mercer::drivers
