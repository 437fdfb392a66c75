#include "stored_preconditioners.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "fingerprint.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
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

template <class T>
std::string hash_of(const comm::Communicator& comm, const std::vector<RowSet<T>>& sets) {
  Fingerprint hash;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const auto& S = sets[s].S;
    const auto V = S.vectors().view();
    hash.add(group(s) + "/vectors", sets[s].first * S.k(),
             std::span<const T>(V.data, static_cast<std::size_t>(V.rows * V.cols)));
    hash.add_replicated<double>(comm, group(s) + "/coefficients", S.coefficients());
  }
  return hash_text(hash.total(comm));
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
  if (std::ranges::all_of(sets, [](const RowSet<T>& set) { return set.S.identity(); })) return "";
  const std::string hash = hash_of(comm, sets), target = side_file(path, hash);
  if (is_stored(comm, target, hash)) return hash;
  auto file = io::Hdf5File::create(comm, target);
  file.attribute("/", "hash", hash);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const auto& S = sets[s].S;
    if (S.identity()) continue;
    file.write<T>(group(s) + "/vectors", sets[s].n, S.vectors().view());
    file.write(group(s) + "/coefficients", S.coefficients());
  }
  file.finish();
  return hash;
}

template <class T>
void read_preconditioners(const comm::Communicator& comm, const std::string& path,
                          const std::string& hash, std::vector<RowSet<T>>& sets) {
  for (auto& set : sets) set.S = {};
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
    sets[s].S = msk::Preconditioner<T>(
        file.read_rows<T>(group(s) + "/vectors", sets[s].n, k).release(), std::move(c));
  }
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
                                        const std::string&, std::vector<RowSet<T>>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
