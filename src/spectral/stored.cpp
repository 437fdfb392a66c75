#include "mercer/spectral/stored.hpp"

#include <algorithm>
#include <functional>

#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::spectral {

namespace {

Method read_method(const io::Hdf5File& file) {
  const auto text = file.text_attribute("/", "method");
  try {
    return parse_method(text);
  } catch (const InputError&) {
    throw InputError("{}: the attribute 'method' of / is \"{}\", which is no eigensolver",
                     file.path(), text);
  }
}

std::string hash_attribute(std::uint64_t hash) {
  return hash != 0 ? hash_text(hash) : "none";
}

}  // namespace

void write(io::Hdf5File& file, const Expected& of) {
  file.attribute("/", "kernel", of.kernel);
  file.attribute("/", "n", of.n);
  file.attribute("/", "data_hash", hash_attribute(of.data_hash));
  if (!of.matrix.empty()) file.attribute("/", "kernel_matrix", of.matrix);
}

void require_same_kernel(const std::string& where, const Expected& of, const Expected& expected) {
  const bool of_matrices = !of.matrix.empty() && !expected.matrix.empty();
  if (of_matrices && of.matrix != expected.matrix)
    throw InputError("{}: the spectrum of another matrix than {} holds now ({}, now {})", where,
                     expected.kernel, of.matrix, expected.matrix);
  if (!of_matrices && of.kernel != expected.kernel)
    throw InputError("{}: the spectrum of {}, this job's kernel is {}", where, of.kernel,
                     expected.kernel);
}

template <class T>
void write(io::Hdf5File& file, const Eigenpairs<T>& pairs) {
  file.write("/eigenvalues", pairs.values);
  file.write("/eigenvalue_next", std::vector<double>{pairs.next});
  if (pairs.vectors.cols() > 0) file.write("/eigenvectors", pairs.vectors);
  if (!pairs.residuals.empty()) {
    file.write("/residuals", pairs.residuals);
    file.attribute("/residuals", "measured",
                   std::string(pairs.residuals_exact ? "exact" : "estimated"));
  }
  file.attribute("/", "trace", pairs.trace);
  if (pairs.orthogonality >= 0) file.attribute("/", "orthogonality", pairs.orthogonality);
  file.attribute("/", "method", name(pairs.method));
}

template <class T>
Eigenpairs<T> read(const io::Hdf5File& file, const Expected& expected,
                   const dist::ProcessGrid& grid, Index nb) {
  for (const char* dataset : {"/eigenvalues", "/eigenvectors", "/eigenvalue_next", "/residuals"})
    if (!file.contains(dataset))
      throw InputError("{}: has no {}: give a result of mercer-spectrum without `values_only`",
                       file.path(), dataset);
  Expected there{.kernel = file.text_attribute("/", "kernel")};
  if (file.has_attribute("/", "kernel_matrix"))
    there.matrix = file.text_attribute("/", "kernel_matrix");
  require_same_kernel(file.path(), there, expected);
  const auto extents = file.extents("/eigenvectors");
  if (extents.size() != 2 || extents[0] != expected.n)
    throw InputError("{}: holds eigenvectors of n = {} points, this job has {}", file.path(),
                     extents[0], expected.n);
  const Index k = extents[1];
  if (k < 1 || k > expected.n || file.extents("/eigenvalues") != std::vector<Index>{k})
    throw InputError("{}: holds {} eigenvalues and {} eigenvectors of n = {} points", file.path(),
                     fmt::join(file.extents("/eigenvalues"), " x "), k, expected.n);
  const auto hash = file.text_attribute("/", "data_hash");
  if (hash != hash_attribute(expected.data_hash))
    throw InputError(
        "{}: belongs to other data (hash {}, this job's is {}): give the same `data` or `train`, "
        "limits and preparation",
        file.path(), hash, hash_attribute(expected.data_hash));

  Eigenpairs<T> pairs{.vectors = comm::together(grid.all(), [&] {
                        return dist::DistMatrix<T>(grid, extents[0], extents[1], nb);
                      })};
  pairs.values = file.read_finite("/eigenvalues", k);
  if (!std::ranges::is_sorted(pairs.values, std::greater<>()))
    throw InputError("{}: /eigenvalues are not in descending order", file.path());
  pairs.next = file.read_number("/eigenvalue_next");
  file.read("/eigenvectors", pairs.vectors);
  const auto own = pairs.vectors.local();
  io::require_finite<T>(
      file, "/eigenvectors",
      std::span<const T>(own.data, static_cast<std::size_t>(own.rows * own.cols)));
  pairs.residuals = file.read_finite("/residuals", k);
  pairs.residuals_exact = file.text_attribute("/residuals", "measured") == "exact";
  pairs.trace = file.finite_attribute("/", "trace");
  if (file.has_attribute("/", "orthogonality"))
    pairs.orthogonality = file.finite_attribute("/", "orthogonality");
  pairs.method = read_method(file);
  pairs.reason = "read from " + file.path();
  return pairs;
}

template void write<double>(io::Hdf5File&, const Eigenpairs<double>&);
template void write<float>(io::Hdf5File&, const Eigenpairs<float>&);
template Eigenpairs<double> read<double>(const io::Hdf5File&, const Expected&,
                                         const dist::ProcessGrid&, Index);
template Eigenpairs<float> read<float>(const io::Hdf5File&, const Expected&,
                                       const dist::ProcessGrid&, Index);

}  // namespace mercer::spectral
