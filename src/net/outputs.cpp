// Networks as functions of rows: their outputs, one of them alone, and rows with seeds.

#include <algorithm>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/net/cost.hpp"
#include "mercer/net/empirical.hpp"

namespace mercer::net {
namespace {

constexpr double kPassBytes = 32.0 * 1024 * 1024;  // activations of one pass

}  // namespace

StoredNetwork single_output(const StoredNetwork& whole, Index output) {
  const Network& network = whole.network;
  const Index c = network.outputs();
  if (output < 0 || output >= c)
    throw InputError("output {}: the network's are numbered 0 ... {}", output, c - 1);
  auto architecture = network.architecture();
  std::get<arch::Dense>(architecture.layers.back().what).width = 1;
  const WeightLayer& readout = network.layers().back();
  std::vector<double> w;
  for (Index copy = 0; copy < network.copies(); ++copy) {
    const auto of_copy = whole.parameters.begin() + copy * network.parameters_of_copy();
    w.insert(w.end(), of_copy, of_copy + readout.weights);
    for (Index row = 0; row <= readout.fan_in; ++row)  // the last row are the biases
      w.push_back(of_copy[readout.weights + row * c + output]);
  }
  return {Network(architecture, network.inputs(), network.parametrization(), network.start()),
          std::move(w)};
}

dist::RowBlock<double> seeded_rows(const dist::RowBlock<double>& X, Index outputs) {
  auto rows = comm::together(X.comm(), [&] {
    return dist::RowBlock<double>(X.comm(), X.rows() * outputs, X.cols() + outputs);
  });
  std::vector<Index> wanted;
  for (Index k = 0; k < rows.local_rows(); ++k) wanted.push_back((rows.first_row() + k) / outputs);
  const auto inputs = dist::fetch_rows<double>(X, wanted);
  for (Index k = 0; k < rows.local_rows(); ++k) {
    const auto row = rows.row(k);
    std::ranges::fill(row, 0.0);
    std::copy_n(inputs.column(k), inputs.rows(), row.begin());
    row[static_cast<std::size_t>(X.cols() + (rows.first_row() + k) % outputs)] = 1;
  }
  return rows;
}

dist::RowBlock<double> outputs(const Network& network, std::span<const double> w,
                               const dist::RowBlock<double>& X) {
  return comm::together(X.comm(), [&] {
    if (X.cols() != network.inputs())
      throw InputError("the network has {} inputs, but the data set has {} columns",
                       network.inputs(), X.cols());
    dist::RowBlock<double> F(X.comm(), X.rows(), network.outputs());
    if (X.local_rows() > 0)
      Evaluator<double>(network, X.local_rows(), kPassBytes)
          .outputs(w, X.transposed(), F.transposed());
    return F;
  });
}

Cost outputs_cost(const Network& network, Index rows, int ranks) {
  const Index own = ceil_div(rows, ranks);
  auto cost = gemm_cost<double>(network.forward_flops() * static_cast<double>(rows), ranks);
  cost.bytes = 8 * static_cast<double>(network.parameters() + own * network.outputs()) +
               Evaluator<double>::bytes(network, own, kPassBytes);
  return cost;
}

}  // namespace mercer::net
