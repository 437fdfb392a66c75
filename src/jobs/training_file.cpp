#include <algorithm>
#include <utility>

#include "mercer/base/hash.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/report/record.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

std::vector<double> column(const std::vector<train::Record>& history,
                           double train::Record::*value) {
  std::vector<double> values;
  for (const auto& record : history) values.push_back(record.*value);
  return values;
}

}  // namespace

void write_history(io::Hdf5File& file, const comm::Communicator& comm,
                   const std::vector<train::Record>& history, std::span<const Index> directions) {
  using train::Record;
  std::vector<double> steps;
  for (const Record& record : history) steps.push_back(static_cast<double>(record.step));
  file.write("/steps", steps);
  file.write("/loss_train", column(history, &Record::loss));
  file.write("/loss_preconditioned", column(history, &Record::loss_preconditioned));
  file.write("/residual", column(history, &Record::residual));
  file.write("/rate", column(history, &Record::rate));
  file.write("/distance", column(history, &Record::distance));
  file.write("/seconds", column(history, &Record::seconds));
  file.write("/time", column(history, &Record::time));
  if (history.empty()) return;
  if (history.front().loss_test >= 0) file.write("/loss_test", column(history, &Record::loss_test));
  if (history.front().kernel_change >= 0)
    file.write("/kernel_change", column(history, &Record::kernel_change));
  if (directions.empty()) return;
  file.write("/directions", std::vector<double>(directions.begin(), directions.end()));
  const auto table = [&](const char* name, std::vector<double> Record::*values) {
    dist::RowBlock<double> rows(comm, std::ssize(history), std::ssize(directions));
    for (Index i = 0; i < rows.local_rows(); ++i)
      std::ranges::copy(history[static_cast<std::size_t>(rows.first_row() + i)].*values,
                        rows.row(i).begin());
    file.write(name, rows);
  };
  table("/residual_by_eigendirection", &Record::directions);
  table("/residual_predicted", &Record::predicted);
}

namespace {

std::vector<double> tracked(const std::vector<train::Record>& history, Tracked which) {
  std::vector<double> values;
  for (const auto& record : history) values.push_back(record.tracked.at(which));
  return values;
}

/// What was tracked, by the names of files, a number for each record.
template <class T>
std::vector<std::pair<std::string, std::vector<double>>> tracks(const TrainingPlan& plan,
                                                                const Training<T>& training) {
  const auto& track = plan.options.track;
  const auto& history = training.state.history;
  std::vector<std::pair<std::string, std::vector<double>>> all;
  if (track.path) all.emplace_back("path", column(history, &train::Record::path));
  if (track.kernel) {
    all.emplace_back("kernel_frobenius", tracked(history, kDriftFrobenius));
    all.emplace_back("kernel_operator", tracked(history, kDriftOperator));
    all.emplace_back("kernel_S", tracked(history, kDriftS));
  }
  if (track.minimum) {
    all.emplace_back("minimum", tracked(history, kSmallest));
    all.emplace_back("maximum", tracked(history, kLargest));
    auto bound = loss_bound(plan, training);
    if (bound.not_for.empty()) all.emplace_back("loss_bound", std::move(bound.loss));
  }
  if (track.alignment) all.emplace_back("alignment", tracked(history, kAlignment));
  return all;
}

template <class T>
void write_track(io::Hdf5File& file, const TrainingPlan& plan, const Training<T>& training) {
  for (const auto& [name, values] : tracks(plan, training)) file.write("/track/" + name, values);
  if (!training.kernel_start.has_value()) return;
  const auto& start = *training.kernel_start;
  const std::pair<const char*, double> numbers[] = {
      {"frobenius", start.frobenius},
      {"operator_norm", start.operator_norm},
      {"limit_frobenius", start.limit_frobenius},
      {"limit_operator", start.limit_operator},
      {"distance_frobenius", start.distance_frobenius},
      {"distance_operator", start.distance_operator},
      {"limit_minimum", start.limit_smallest}};
  for (const auto& [name, value] : numbers) file.attribute("/track", name, value);
}

void write_functions(io::Hdf5File& file, const FunctionTrace& trace,
                     const std::vector<train::Record>& history) {
  const std::string folder = "/eigenfunctions/";
  std::vector<double> space;
  for (std::size_t s = 0; s < trace.spaces.size(); ++s)
    space.insert(space.end(), static_cast<std::size_t>(trace.spaces[s].size),
                 static_cast<double>(s + 1));
  file.write(folder + "index", std::vector<double>(trace.index.begin(), trace.index.end()));
  file.write(folder + "space", space);
  file.write(folder + "eigenvalue", trace.eigenvalues);
  file.write(folder + "rate", trace.rates);
  const auto p = projections(trace, history);
  file.write(folder + "time", p.time);
  const auto table = [&](const char* name, const Matrix<double>& values) {
    dist::RowBlock<double> rows(file.comm(), values.rows(), values.cols());
    for (Index i = 0; i < rows.local_rows(); ++i)
      for (Index j = 0; j < values.cols(); ++j)
        rows.row(i)[static_cast<std::size_t>(j)] = values(rows.first_row() + i, j);
    file.write(folder + name, rows);
  };
  if (const Index k = std::ssize(trace.index); !trace.inverse_gram.empty()) {
    Matrix<double> G(k, k);
    std::ranges::copy(trace.inverse_gram, G.data());
    table("inverse_gram", G);
  }
  table("test_projection", p.measured);
  table("predicted", p.predicted);
  table("predicted_flow", p.flow);
  table("deviation", p.deviation);
  table("bound", p.bound);
  file.write(folder + "whole", p.whole);
  file.write(folder + "whole_bound", p.whole_bound);
  const std::pair<const char*, double> numbers[] = {
      {"epsilon", p.epsilon},
      {"theorem", p.theory},
      {"target", trace.target},
      {"kernel_difference", trace.kernel_difference},
      {"kernel_difference_error", trace.kernel_difference_error}};
  for (const auto& [name, value] : numbers) file.attribute("/eigenfunctions", name, value);
}

}  // namespace

template <class T>
LossBound loss_bound(const TrainingPlan& plan, const Training<T>& training) {
  return loss_bound(training.state.history, plan.options.descent, plan.options.preconditioned(),
                    training.rows);
}

template <class T>
void write(io::Hdf5File& file, const TrainingPlan& plan, const Training<T>& training,
           const net::Network& network, const data::Split& sets, const Predictions& predictions) {
  file.attribute("/", "n", sets.train.rows());
  file.attribute("/", "data_hash", sets.train.hash != 0 ? hash_text(sets.train.hash) : "none");
  file.attribute("/", "network", network.text());
  file.attribute("/", "precondition", name(plan.options.precondition));
  const auto& history = training.state.history;
  write_history(file, file.comm(), history, training.directions);
  write_track(file, plan, training);
  if (training.functions.has_value()) write_functions(file, *training.functions, history);
  net::write<T>(file, network, training.state.w);
  data::write(file, sets.preparation);
  if (!sets.test.has_value() || predictions.values.rows() == 0) return;
  write_errors(file, "/score", {{.scores = predictions.scores}}, sets.preparation);
  write_predictions(file, *sets.test, sets.preparation, predictions);
}

namespace {

/// Adds columns for each space of functions, named after the first of them.
void add_functions(const FunctionTrace& trace, const std::vector<train::Record>& history,
                   std::vector<std::pair<std::string, std::vector<double>>>& columns) {
  const auto p = projections(trace, history);
  for (Index s = 0; s < p.measured.cols(); ++s) {
    const Index first =
        trace.index[static_cast<std::size_t>(trace.spaces[static_cast<std::size_t>(s)].first)];
    const auto add = [&](const char* name, const Matrix<double>& values) {
      columns.emplace_back(fmt::format("{}_{}", name, first),
                           std::vector<double>(values.column(s), values.column(s) + values.rows()));
    };
    add("projection", p.measured);
    add("predicted", p.predicted);
    add("deviation", p.deviation);
    add("bound", p.bound);
  }
  columns.emplace_back("whole", p.whole);
  columns.emplace_back("whole_bound", p.whole_bound);
}

}  // namespace

template <class T>
void write_csv(const comm::Communicator& comm, const std::string& path, const TrainingPlan& plan,
               const Training<T>& training) {
  const auto& history = training.state.history;
  auto columns = tracks(plan, training);
  if (training.functions.has_value()) add_functions(*training.functions, history, columns);
  if (!columns.empty())
    columns.emplace(columns.begin(), "time", column(history, &train::Record::time));
  std::string text = "step,loss_train,residual,loss_test,rate,distance,seconds";
  for (const auto& [name, values] : columns) text += "," + name;
  text += "\n";
  for (std::size_t i = 0; i < history.size(); ++i) {
    const train::Record& r = history[i];
    text += fmt::format("{},{:.10g},{:.10g},{},{:.10g},{:.10g},{:.6g}", r.step, r.loss, r.residual,
                        r.loss_test < 0 ? "" : fmt::format("{:.10g}", r.loss_test), r.rate,
                        r.distance, r.seconds);
    for (const auto& [name, values] : columns) text += fmt::format(",{:.10g}", values[i]);
    text += "\n";
  }
  report::write_text(comm, path, text);
}

#define MERCER_INSTANTIATE(T)                                                                    \
  template LossBound loss_bound<T>(const TrainingPlan&, const Training<T>&);                     \
  template void write<T>(io::Hdf5File&, const TrainingPlan&, const Training<T>&,                 \
                         const net::Network&, const data::Split&, const Predictions&);           \
  template void write_csv<T>(const comm::Communicator&, const std::string&, const TrainingPlan&, \
                             const Training<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
