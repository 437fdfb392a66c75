#include <algorithm>

#include "mercer/base/hash.hpp"
#include "mercer/report/record.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

void write_estimates(io::Hdf5File& file, const SpectrumEstimates& e) {
  std::vector<std::pair<double, double>> density;
  const double share =
      static_cast<double>(e.density.n) / static_cast<double>(e.density.nodes.size());
  for (std::size_t z = 0; z < e.density.nodes.size(); ++z)
    for (std::size_t j = 0; j < e.density.nodes[z].size(); ++j)
      density.emplace_back(e.density.nodes[z][j], share * e.density.weights[z][j]);
  std::ranges::sort(density);
  std::vector<double> nodes, weights;
  for (const auto& [node, weight] : density) {
    nodes.push_back(node);
    weights.push_back(weight);
  }
  file.write("/density/node", nodes);
  file.write("/density/weight", weights);
  file.write("/estimates/ridge", std::vector<double>{e.ridge});
  file.write("/estimates/trace", std::vector<double>{e.trace});
  file.write("/estimates/lambda_min_bound", std::vector<double>{e.density.smallest});
  const auto with_error = [&](const std::string& name, const spectral::Estimate& x) {
    file.write("/estimates/" + name, std::vector<double>{x.value});
    file.attribute("/estimates/" + name, "error", x.error);
  };
  with_error("statistical_dimension", e.dimension);
  with_error("log_determinant", e.log_determinant);
}

}  // namespace

template <class T>
void write(io::Hdf5File& file, const Spectrum<T>& spectrum) {
  spectral::write(file, spectrum.of);
  spectral::write(file, spectrum.pairs);
  if (spectrum.next_vector.cols() > 0) file.write("/eigenvector_next", spectrum.next_vector);
  if (spectrum.estimates.has_value()) write_estimates(file, *spectrum.estimates);
  if (spectrum.leverage.has_value()) write(file, *spectrum.leverage);
}

void write_csv(const comm::Communicator& comm, const std::string& path,
               const std::vector<double>& values, const std::vector<double>& residuals) {
  std::string text = "i,eigenvalue,relative,residual\n";
  for (std::size_t i = 0; i < values.size(); ++i)
    text += fmt::format("{},{:.17g},{:.10g},{}\n", i + 1, values[i], values[i] / values.front(),
                        i < residuals.size() ? fmt::format("{:.3g}", residuals[i]) : "");
  report::write_text(comm, path, text);
}

std::uint64_t rows_hash(const gram::Source& kernel, const data::Dataset& rows,
                        const comm::Communicator& comm) {
  if (rows.rows() > 0 || !kernel.is_stored()) return rows.hash;
  const auto file = io::Hdf5File::open(comm, kernel.matrix_path());
  if (!file.has_attribute("/", "data_hash")) return 0;
  return parse_hash(file.text_attribute("/", "data_hash"));
}

template void write<double>(io::Hdf5File&, const Spectrum<double>&);
template void write<float>(io::Hdf5File&, const Spectrum<float>&);

}  // namespace mercer::jobs
