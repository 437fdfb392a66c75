#include "stored_preconditioners.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "fingerprint.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/io/temporary.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::train {
namespace {

namespace fs = std::filesystem;

std::string side_file(const std::string& path, const std::string& hash) {
  return path + ".S-" + hash;
}

std::string group(std::size_t set) {
  return fmt::format("/set{}", set);
}

/// Numbers of V that belong to one row of the data set: k, or k for each output.
template <class T>
Index numbers_of_row(const RowSet<T>& set, Index k) {
  return set.joint ? k * set.Y.rows() : k;
}

const std::string kParameters = "/parameters";

std::string psi_name(Index i) {
  return fmt::format("{}/psi{}", kParameters, i);
}

template <class T>
std::vector<double> bound_of(const ParameterPreconditioner<T>& P) {
  const bool mirrored = !P.identity() && P.layout().mirrored;  // that of Psi
  return {P.bound().beta, P.bound().tail, mirrored ? 1.0 : 0.0};
}

template <class T>
std::string hash_of(const comm::Communicator& comm, const std::vector<RowSet<T>>& sets) {
  Fingerprint hash;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const auto& S = sets[s].S;
    const auto V = S.vectors().view();
    hash.add(group(s) + "/vectors", sets[s].first * numbers_of_row(sets[s], S.k()),
             std::span<const T>(V.data, static_cast<std::size_t>(V.rows * V.cols)));
    hash.add_replicated<double>(comm, group(s) + "/coefficients", S.coefficients());
  }
  const auto& P = sets[0].P;
  if (!P.bound().known()) return hash_text(hash.total(comm));
  for (Index i = 0; i < P.k(); ++i) {
    const T* psi = P.Psi().column(i);
    for (const auto& part : P.layout().parts) {
      hash.add(psi_name(i), part.begin,
               std::span<const T>(psi, static_cast<std::size_t>(part.count)));
      psi += part.count;
    }
  }
  hash.add_replicated<double>(comm, kParameters + "/coefficients", P.coefficients());
  hash.add_replicated<double>(comm, kParameters + "/bound", bound_of(P));
  return hash_text(hash.total(comm));
}

template <class T>
void write_parameters(const comm::Communicator& comm, io::Hdf5File& file,
                      const ParameterPreconditioner<T>& P) {
  for (Index i = 0; i < P.k(); ++i) {
    const auto psi = P.gathered(comm, i);
    file.write<T>(psi_name(i), P.layout().size, own_part(comm, psi));
  }
  file.write(kParameters + "/coefficients", P.coefficients());
  file.write(kParameters + "/bound", bound_of(P));
}

/// The inverse; the layout is that of this run's ranks. Throws InputError where the sizes are not
/// those of `network`.
template <class T>
ParameterPreconditioner<T> read_parameters(const comm::Communicator& comm, const io::Hdf5File& file,
                                           const net::Network& network) {
  auto c = file.read_vector(kParameters + "/coefficients");
  const auto bound = file.read_vector(kParameters + "/bound");
  if (bound.size() != 3)
    throw InputError("{}: {}/bound holds {} numbers, not 3", file.path(), kParameters,
                     bound.size());
  const BatchBound of_steps{bound[0], bound[1]};
  if (c.empty()) return ParameterPreconditioner<T>(of_steps);
  auto layout = parameter_layout<T>(comm, network, bound[2] != 0);
  const auto k = static_cast<Index>(c.size());
  auto Psi = comm::together(comm, [&] { return Matrix<T>(layout.entries(), k); });
  for (Index i = 0; i < k; ++i) {
    const auto psi = dist::all_rows(file.read_rows<T>(psi_name(i), layout.size, 1));
    T* to = Psi.column(i);
    for (const auto& part : layout.parts) to = std::copy_n(psi.data() + part.begin, part.count, to);
  }
  return {std::move(layout), std::move(Psi), std::move(c), of_steps};
}

/// Whether `file` is a complete file of S whose attribute `hash` is this. Collective.
bool is_stored(const comm::Communicator& comm, const std::string& file, const std::string& hash) {
  try {
    return io::Hdf5File::open(comm, file, io::Origin::mercer).text_attribute("/", "hash") == hash;
  } catch (const InputError&) {  // on all ranks
    return false;
  }
}

}  // namespace

template <class T>
std::string write_preconditioners(const comm::Communicator& comm, const std::string& path,
                                  const std::vector<RowSet<T>>& sets) {
  if (std::ranges::all_of(sets, [](const RowSet<T>& set) {
        return set.S.identity() && set.P.identity() && !set.P.bound().known();
      }))
    return "";
  const std::string hash = hash_of(comm, sets), target = side_file(path, hash);
  if (is_stored(comm, target, hash)) return hash;
  auto file = io::Hdf5File::create(comm, target);
  file.attribute("/", "hash", hash);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const auto& S = sets[s].S;
    if (S.identity()) continue;
    const Index numbers = numbers_of_row(sets[s], S.k());
    const MatrixView<const T> V{S.vectors().data(), numbers, sets[s].rows(), numbers};
    file.write<T>(group(s) + "/vectors", sets[s].n, V);
    file.write(group(s) + "/coefficients", S.coefficients());
  }
  if (sets[0].P.bound().known()) write_parameters(comm, file, sets[0].P);
  file.finish();
  return hash;
}

template <class T>
void read_preconditioners(const comm::Communicator& comm, const std::string& path,
                          const std::string& hash, const net::Network& network,
                          std::vector<RowSet<T>>& sets) {
  for (auto& set : sets) {
    set.S = {};
    set.P = {};
  }
  if (hash.empty()) return;
  const std::string source = side_file(path, hash);
  comm::together(comm, [&] {
    std::error_code ignored;
    if (comm.root() && !fs::exists(source, ignored))
      throw InputError("{}: its S lies in {}, which is missing", path, source);
  });
  const auto file = io::Hdf5File::open(comm, source, io::Origin::mercer);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    if (!file.contains(group(s) + "/vectors")) continue;
    auto c = file.read_vector(group(s) + "/coefficients");
    const auto k = static_cast<Index>(c.size());
    const auto rows =
        file.read_rows<T>(group(s) + "/vectors", sets[s].n, numbers_of_row(sets[s], k));
    Matrix<T> V(k, sets[s].joint ? sets[s].rows() * sets[s].Y.rows() : sets[s].rows());
    std::ranges::copy(rows.values(), V.data());
    sets[s].S = msk::Preconditioner<T>(std::move(V), std::move(c));
  }
  if (file.contains(kParameters + "/bound")) sets[0].P = read_parameters<T>(comm, file, network);
  const std::string found = hash_of(comm, sets);
  if (found != hash)
    throw InputError("{}: is not the S of {}: its hash is {}, not {}", source, path, found, hash);
}

void remove_leftovers(const comm::Communicator& comm, const std::string& path, bool unused,
                      const std::string& hash) {
  const std::string side = side_file(fs::path(path).filename().string(), "");
  const auto parent = fs::path(path).parent_path();
  std::vector<std::string> old;  // hashes, on rank 0
  if (comm.root()) {
    std::error_code ignored;
    std::vector<fs::path> ended;
    for (const auto& entry : fs::directory_iterator(parent.empty() ? "." : parent, ignored)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(side)) continue;
      const std::string theirs = name.substr(side.size());
      if (io::is_leftover(entry.path().string())) ended.push_back(entry.path());
      if (unused && theirs != hash && theirs.size() == 16) old.push_back(theirs);
    }
    for (const auto& file : ended) fs::remove(file, ignored);
    io::remove_leftovers(path);
  }
  const Index count = comm.all_reduce(std::ssize(old), comm::Op::max);
  for (Index i = 0; i < count; ++i) {
    const auto theirs =
        comm.broadcast(comm.root() ? old[static_cast<std::size_t>(i)] : std::string(), 0);
    // Any other file of such a name belongs to the user.
    if (!is_stored(comm, side_file(path, theirs), theirs)) continue;
    std::error_code ignored;
    if (comm.root()) fs::remove(side_file(path, theirs), ignored);
  }
  comm.barrier();
}

#define MERCER_INSTANTIATE(T)                                                                  \
  template std::string write_preconditioners<T>(const comm::Communicator&, const std::string&, \
                                                const std::vector<RowSet<T>>&);                \
  template void read_preconditioners<T>(const comm::Communicator&, const std::string&,         \
                                        const std::string&, const net::Network&,               \
                                        std::vector<RowSet<T>>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
