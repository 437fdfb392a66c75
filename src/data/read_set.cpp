#include "read_set.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "mercer/base/memory.hpp"
#include "mercer/comm/together.hpp"
#include "roles.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// Goes through the rows of the file in order and tells for each the rank, part and local row that
/// it belongs to: the same on every rank.
class Walk {
 public:
  Walk(const Roles& roles, const std::vector<Part>& parts) : roles_(&roles) {
    for (const auto& part : parts) partitions_.push_back(part.inputs.partition());
    next_.assign(parts.size(), 0);
  }
  struct Place {
    int rank = -1;  ///< -1: the row is not used
    std::size_t part = 0;
    Index row = 0;  ///< local
  };
  /// Where the next row of the file belongs.
  Place step() {
    const char role = roles_->of_row[at(row_++)];
    if (role == kUnused) return {};
    const auto part = static_cast<std::size_t>(role);
    const Index i = next_[part]++;
    const int rank = partitions_[part].owner(i);
    return {rank, part, i - partitions_[part].begin(rank)};
  }

 private:
  const Roles* roles_;
  std::vector<dist::RowPartition> partitions_;
  std::vector<Index> next_;
  Index row_ = 0;
};

void store(const double* row, const Walk::Place& place, std::vector<Part>& parts) {
  const auto inputs = parts[place.part].inputs.row(place.row);
  const auto targets = parts[place.part].targets.row(place.row);
  std::copy_n(row, inputs.size(), inputs.begin());
  std::copy_n(row + inputs.size(), targets.size(), targets.begin());
}

/// Packs the used rows of a panel for all_to_all, one rank's after the other, and returns how many
/// numbers go to each rank.
std::vector<Index> pack(const std::vector<double>& rows, Index width,
                        const std::vector<Walk::Place>& places, int ranks,
                        std::vector<double>& packed) {
  std::vector<Index> counts(at(ranks), 0), next(at(ranks), 0);
  for (const auto& place : places)
    if (place.rank >= 0) counts[at(place.rank)] += width;
  for (std::size_t r = 1; r < next.size(); ++r) next[r] = next[r - 1] + counts[r - 1];
  packed.resize(rows.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].rank < 0) continue;
    Index& to = next[at(places[i].rank)];
    std::copy_n(rows.data() + static_cast<Index>(i) * width, width, packed.data() + to);
    to += width;
  }
  return counts;
}

/// Rank 0 reads panel after panel and sends every rank its rows. Collective; `reader`: null on
/// other ranks.
void stream(Reader* reader, const Contents& contents, const Roles& roles, Index panel,
            std::vector<Part>& parts, const comm::Communicator& comm) {
  const Index width = contents.dimension + contents.outputs;
  const auto end = static_cast<Index>(roles.of_row.size());
  std::vector<double> rows, packed;
  Walk walk(roles, parts);
  for (Index begin = 0; begin < end; begin += panel) {
    const Index count = std::min(panel, end - begin);
    std::vector<Walk::Place> places(at(count));
    for (auto& place : places) place = walk.step();
    std::vector<Index> counts(at(comm.size()), 0);
    comm::together(comm, [&] {
      if (!comm.root()) return;
      rows.resize(at(count * width));
      reader->read(begin, count, rows.data());
      counts = pack(rows, width, places, comm.size(), packed);
    });
    const auto mine = comm.all_to_all(std::span<const double>(packed), counts);
    const double* row = mine.data();
    for (const auto& place : places) {
      if (place.rank != comm.rank()) continue;
      store(row, place, parts);
      row += width;
    }
  }
}

/// This rank reads its own rows. Local.
void read_own(Reader& reader, const Contents& contents, const Roles& roles, Index panel,
              std::vector<Part>& parts, int rank) {
  const Index width = contents.dimension + contents.outputs;
  const auto end = static_cast<Index>(roles.of_row.size());
  std::vector<double> rows;
  Walk walk(roles, parts);
  for (Index begin = 0; begin < end; begin += panel) {
    const Index count = std::min(panel, end - begin);
    std::vector<Walk::Place> places(at(count));
    Index first = count, last = -1;
    for (Index i = 0; i < count; ++i) {
      places[at(i)] = walk.step();
      if (places[at(i)].rank != rank) continue;
      first = std::min(first, i);
      last = i;
    }
    if (last < 0) continue;
    rows.resize(at((last - first + 1) * width));
    reader.read(begin + first, last - first + 1, rows.data());
    for (Index i = first; i <= last; ++i)
      if (places[at(i)].rank == rank)
        store(rows.data() + (i - first) * width, places[at(i)], parts);
  }
}

std::vector<Part> allocate(const Spec& spec, const Contents& contents, const Roles& roles,
                           const comm::Communicator& comm) {
  return comm::together(comm, [&] {
    std::vector<Part> parts;
    try {
      for (Index size : roles.sizes)
        parts.push_back({RowBlock<double>(comm, size, contents.dimension),
                         RowBlock<double>(comm, size, contents.outputs),
                         {}});
      for (std::size_t part = 0; part < parts.size(); ++part)
        parts[part].file_rows = file_rows(roles, part, parts[part].inputs.partition(), comm.rank());
    } catch (const std::bad_alloc&) {
      throw MemoryError(
          "{}: {} rows of {} numbers need {} a rank", spec.text, contents.rows,
          contents.dimension + contents.outputs,
          format_bytes(bytes_of_rows(
              contents.rows, static_cast<double>(contents.dimension + contents.outputs), comm)));
    }
    return parts;
  });
}

}  // namespace

std::unique_ptr<Reader> open_reader(const Spec& spec, const Request& request) {
  switch (spec.format) {
    case Spec::Format::npy:
      return open_npy(spec, request);
    case Spec::Format::idx:
      return open_idx(spec);
    case Spec::Format::cifar:
      return open_cifar(spec, request);
    case Spec::Format::csv:
      return open_csv(spec.path, request);
    case Spec::Format::libsvm:
      return open_libsvm(spec, request);
    default:
      return open_synthetic(spec, request);
  }
}

std::optional<ImageShape> image_of(const std::string& text, const comm::Communicator& comm) {
  const Spec spec = parse_spec(text);
  using enum Spec::Format;
  const bool tells = spec.format == npy || spec.format == idx || spec.format == cifar;
  Contents contents;
  if (spec.format == h5) {
    contents.image = image_in_hdf5(spec, comm);
  } else if (tells) {
    comm::together(comm, [&] {
      if (comm.root()) contents = open_reader(spec, {})->contents();
    });
    contents = broadcast(contents, comm);
  }
  if (contents.image.height == 0) return {};
  return contents.image;
}

StoredSet read_set(const Spec& spec, Request request, const Choice& choice,
                   const comm::Communicator& comm) {
  if (spec.format == Spec::Format::h5) return read_hdf5(spec, request, choice, comm);
  if (choice.split.empty()) request.max_rows = choice.limit;
  std::unique_ptr<Reader> reader;
  StoredSet set;
  comm::together(comm, [&] {
    if (!comm.root()) return;
    reader = open_reader(spec, request);
    set.contents = reader->contents();
  });
  set.contents = broadcast(set.contents, comm);
  expect_memory(spec, set.contents, choice, 0, comm);
  const Roles roles = assign_roles(spec, set.contents.rows, choice, comm);
  expect_memory(spec, set.contents, roles, choice, 0, comm);
  set.parts = allocate(spec, set.contents, roles, comm);
  const Index panel =
      std::max<Index>(1, kPanelBytes / (8 * (set.contents.dimension + set.contents.outputs)));
  if (!set.contents.everywhere) {
    stream(reader.get(), set.contents, roles, panel, set.parts, comm);
    return set;
  }
  comm::together(comm, [&] {
    if (!reader) reader = open_reader(spec, request);
    if (reader->contents() != set.contents)
      throw InputError("{}: rank {} sees another file of this name than rank 0", spec.text,
                       comm.rank());
    read_own(*reader, set.contents, roles, panel, set.parts, comm.rank());
  });
  return set;
}

}  // namespace mercer::data
