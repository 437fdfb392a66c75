#include "read_set.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "mercer/base/memory.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/hdf5.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

constexpr Index kPanelBytes = Index{1} << 23;
constexpr char kUnused = -1;
constexpr double kMostBytes = 0x1p60;  // a rank, where there is no limit: sizes fit in 64 bits

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// For each row of the file, up to the last one needed, the part that it belongs to, or kUnused;
/// and the parts' sizes.
struct Roles {
  std::vector<char> of_row;
  std::vector<Index> sizes;
};

Roles assign_roles(const Spec& spec, Index rows, const Choice& choice) {
  const bool split = !choice.mask.empty();
  if (split && static_cast<Index>(choice.mask.size()) != rows)
    throw InputError("split: the mask has {} rows, {} has {}: one for each row is needed",
                     choice.mask.size(), spec.text, rows);
  Roles roles;
  roles.sizes.assign(split ? 2 : 1, 0);
  const std::array<Index, 2> limits{choice.limit, choice.limit_test};
  std::array<Index, 2> seen{0, 0};
  for (Index i = 0; i < rows; ++i) {
    const std::size_t part = split && choice.mask[at(i)] == 1 ? 1 : 0;
    ++seen[part];
    const bool taken = limits[part] < 0 || seen[part] <= limits[part];
    if (taken) ++roles.sizes[part];
    roles.of_row.push_back(taken ? static_cast<char>(part) : kUnused);
  }
  while (!roles.of_row.empty() && roles.of_row.back() == kUnused) roles.of_row.pop_back();
  for (std::size_t part = 0; part < roles.sizes.size(); ++part) {
    if (seen[part] == 0)
      throw InputError("split: the mask leaves no {} rows", part == 0 ? "training" : "test");
    if (limits[part] > seen[part])
      throw InputError("{} {}: {} has only {} {}rows", part == 0 ? choice.limit_name : "limit-test",
                       limits[part], spec.text, seen[part],
                       !split      ? ""
                       : part == 0 ? "training "
                                   : "test ");
  }
  return roles;
}

/// Goes through the rows of the file in order, knowing for each the rank that it belongs to and its
/// place there: the same on every rank.
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
  /// Of the next row.
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

/// The used rows of a panel, one rank's after the other, as all_to_all sends them: returns how many
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

/// Rank 0 reads panel after panel and sends every rank its rows.
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

/// This rank reads its own rows.
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

/// The local rows of `part`, as the file counts them.
std::vector<Index> file_rows(const Roles& roles, std::size_t part, dist::RowPartition partition,
                             int rank) {
  std::vector<Index> rows;
  Index position = 0;
  for (std::size_t i = 0; i < roles.of_row.size(); ++i) {
    if (roles.of_row[i] != static_cast<char>(part)) continue;
    const Index row = position++;
    if (row >= partition.begin(rank) && row < partition.end(rank))
      rows.push_back(static_cast<Index>(i));
  }
  return rows;
}

/// Throws where the rows need more than there may be, before any of them is allocated. `extra`:
/// rows that are read beside those of the parts.
void expect_memory(const Spec& spec, const Contents& contents, const Roles& roles,
                   const Choice& choice, Index extra, const comm::Communicator& comm) {
  const Index width = contents.dimension + contents.outputs;
  Index rows = 0;
  double bytes = choice.memory_held + bytes_of_rows(extra, width, comm);
  for (Index size : roles.sizes) {
    rows += size;
    bytes += bytes_of_rows(size, width, comm);
  }
  const double row = 8.0 * static_cast<double>(width);  // panels of one row, three on rank 0
  if (!contents.everywhere && row > static_cast<double>(kPanelBytes)) bytes += 3 * row;
  const double limit = choice.memory_limit > 0 ? choice.memory_limit : kMostBytes;
  if (bytes > limit)
    throw MemoryError(
        "{}: {} rows of {} features need {} a rank, more than the {} that each may take "
        "(--memory-limit, else this machine's): use more ranks, fewer rows or features",
        spec.text, rows, contents.dimension, format_bytes(bytes), format_bytes(limit));
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
          format_bytes(bytes_of_rows(contents.rows, contents.dimension + contents.outputs, comm)));
    }
    return parts;
  });
}

/// Rank 0's, on all ranks.
void broadcast(std::vector<Index>& values, const comm::Communicator& comm) {
  auto size = static_cast<Index>(values.size());
  comm.broadcast(std::span<Index>(&size, 1), 0);
  values.resize(at(size));
  comm.broadcast(std::span<Index>(values), 0);
}

/// Texts of rank 0, on all ranks.
void broadcast(std::vector<std::string>& texts, const comm::Communicator& comm) {
  auto sizes = std::vector<Index>();
  std::string all;
  for (const auto& text : texts) {
    sizes.push_back(static_cast<Index>(text.size()));
    all += text;
  }
  broadcast(sizes, comm);
  all = comm.broadcast(std::move(all), 0);
  texts.clear();
  for (std::size_t begin = 0; Index size : sizes) {
    texts.push_back(all.substr(begin, at(size)));
    begin += at(size);
  }
}

/// Rank 0's, on all ranks.
Contents broadcast(Contents contents, const comm::Communicator& comm) {
  std::array<Index, 11> n{
      contents.rows,        contents.dimension,        contents.outputs,    contents.image.height,
      contents.image.width, contents.image.channels,   contents.classes,    contents.everywhere,
      contents.csv.columns, contents.csv.index_column, contents.libsvm_base};
  comm.broadcast(std::span<Index>(n), 0);
  contents.rows = n[0];
  contents.dimension = n[1];
  contents.outputs = n[2];
  contents.image = {n[3], n[4], n[5]};
  contents.classes = n[6] != 0;
  contents.everywhere = n[7] != 0;
  contents.csv.columns = n[8];
  contents.csv.index_column = n[9];
  contents.libsvm_base = n[10];
  contents.csv.header = comm.broadcast(contents.csv.header, 0);
  contents.csv.index = comm.broadcast(contents.csv.index, 0);
  broadcast(contents.csv.targets, comm);
  for (auto* texts :
       {&contents.input_names, &contents.target_names, &contents.label_names, &contents.notes})
    broadcast(*texts, comm);
  return contents;
}

/// The rows of `all` that roles give to `part`.
RowBlock<double> choose(const RowBlock<double>& all, const Roles& roles, std::size_t part,
                        const comm::Communicator& comm) {
  RowBlock<double> chosen =
      comm::together(comm, [&] { return RowBlock<double>(comm, roles.sizes[part], all.cols()); });
  const auto wanted = file_rows(roles, part, chosen.partition(), comm.rank());
  if (all.cols() == 0) return chosen;
  const auto rows = dist::fetch_rows(all, std::span<const Index>(wanted));
  std::copy_n(rows.data(), rows.size(), chosen.values().begin());
  return chosen;
}

void expect_finite(const RowBlock<double>& rows, const std::string& path,
                   const std::string& dataset) {
  comm::together(rows.comm(), [&] {
    for (Index i = 0; i < rows.local_rows(); ++i)
      for (Index j = 0; j < rows.cols(); ++j)
        if (!std::isfinite(rows.row(i)[at(j)]))
          throw InputError("{}:{}: row {}, column {} (counted from 1): {} is not a finite number",
                           path, dataset, rows.first_row() + i + 1, j + 1, rows.row(i)[at(j)]);
  });
}

StoredSet read_hdf5(const Spec& spec, const Choice& choice, const comm::Communicator& comm) {
  const auto file = dist::Hdf5File::open(comm, spec.path);
  const auto extents = [&](const std::string& dataset) {
    auto shape = file.extents(dataset);
    if (shape.empty() || std::find(shape.begin(), shape.end(), 0) != shape.end())
      throw InputError("{}:{}: has no rows or no columns", spec.path, dataset);
    return shape;
  };
  const auto shape = extents(spec.dataset);
  const auto columns = [](const std::vector<Index>& s) {
    Index product = 1;
    for (std::size_t j = 1; j < s.size(); ++j) product *= s[j];
    return product;
  };
  StoredSet set;
  set.contents.rows = shape[0];
  set.contents.dimension = columns(shape);
  if (shape.size() == 3) set.contents.image = {shape[1], shape[2], 1};
  if (shape.size() == 4) set.contents.image = {shape[1], shape[2], shape[3]};
  if (!spec.targets.empty()) {
    const auto target_shape = extents(spec.targets);
    set.contents.outputs = columns(target_shape);
    if (target_shape[0] != shape[0])
      throw InputError("{}:{} has {} rows, {} has {}: one target is needed for each", spec.path,
                       spec.dataset, shape[0], spec.targets, target_shape[0]);
  }
  const Roles roles = assign_roles(spec, shape[0], choice);
  const bool whole = roles.sizes.size() == 1 && roles.sizes[0] == shape[0];
  expect_memory(spec, set.contents, roles, choice, whole ? 0 : shape[0], comm);
  set.parts.resize(roles.sizes.size());
  const auto read = [&](const std::string& dataset, RowBlock<double> Part::*member) {
    auto all = dataset.empty()
                   ? comm::together(comm, [&] { return RowBlock<double>(comm, shape[0], 0); })
                   : file.read_rows<double>(dataset);
    expect_finite(all, spec.path, dataset);
    for (std::size_t part = 0; part < set.parts.size(); ++part)
      set.parts[part].*member = whole ? std::move(all) : choose(all, roles, part, comm);
  };
  read(spec.dataset, &Part::inputs);
  read(spec.targets, &Part::targets);
  for (std::size_t part = 0; part < set.parts.size(); ++part)
    set.parts[part].file_rows =
        file_rows(roles, part, set.parts[part].inputs.partition(), comm.rank());
  return set;
}

}  // namespace

double bytes_of_rows(Index rows, Index width, const comm::Communicator& comm) {
  return 8.0 * static_cast<double>(ceil_div(rows, comm.size())) * static_cast<double>(width);
}

std::unique_ptr<Reader> open_reader(const Spec& spec, const Request& request) {
  switch (spec.format) {
    case Spec::Format::npy:
      return open_npy(spec);
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

std::vector<char> read_mask(const std::string& text, const comm::Communicator& comm) {
  const MaskSpec spec = parse_mask_spec(text);
  std::vector<char> mask;
  comm::together(comm, [&] {
    if (!comm.root()) return;
    Request request;
    request.csv_target = request.csv_index = "none";
    const auto reader = open_csv(spec.path, request);
    const auto [rows, columns] = std::pair(reader->contents().rows, reader->contents().dimension);
    if (spec.column >= columns)
      throw InputError("split: {} has no column {}: its columns are 0 to {}", spec.path,
                       spec.column, columns - 1);
    std::vector<double> values(at(columns));
    mask.resize(at(rows));
    for (Index i = 0; i < rows; ++i) {
      reader->read(i, 1, values.data());
      const double value = values[at(spec.column)];
      if (value != 0 && value != 1)
        throw InputError(
            "split: {}: data row {} (counted from 1) has {} in column {}: 0 or 1 is needed",
            spec.path, i + 1, value, spec.column);
      mask[at(i)] = value == 1;
    }
  });
  Index rows = static_cast<Index>(mask.size());
  comm.broadcast(std::span<Index>(&rows, 1), 0);
  comm::together(comm, [&] { mask.resize(at(rows)); });
  comm.broadcast(std::span<char>(mask), 0);
  return mask;
}

StoredSet read_set(const Spec& spec, Request request, const Choice& choice,
                   const comm::Communicator& comm) {
  if (spec.format == Spec::Format::h5) return read_hdf5(spec, choice, comm);
  if (choice.mask.empty()) request.max_rows = choice.limit;
  std::unique_ptr<Reader> reader;
  StoredSet set;
  comm::together(comm, [&] {
    if (!comm.root()) return;
    reader = open_reader(spec, request);
    set.contents = reader->contents();
  });
  set.contents = broadcast(set.contents, comm);
  const Roles roles =
      comm::together(comm, [&] { return assign_roles(spec, set.contents.rows, choice); });
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
