// Data files of every format: tables, masks, arrays, images, packed or not.
#include <zlib.h>

#include "fuzz.hpp"
#include "mercer/data/dataset.hpp"

namespace mercer::fuzz {
namespace {

using namespace std::string_literals;

const char* const kFormats[] = {"csv", "libsvm", "npy", "idx", "cifar", ""};
const char* const kTargets[] = {"", "none", "-1", "y", "a,b", "0", "17"};
const char* const kWords[] = {"auto", "yes", "no", "none", "a", "0"};

std::string gzipped(const std::string& bytes) {
  const auto path = as_file("", ".gz.tmp");
  gzFile file = gzopen(path.c_str(), "wb1");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return path;
}

}  // namespace

void try_input(Input input) {
  data::Options options{.memory_limit = 1e7};
  const auto format = input.below(std::size(kFormats));
  const auto choice = input.byte();
  options.standardize = (choice & 1) != 0;
  options.one_hot = (choice & 2) != 0;
  options.unit_norm = (choice & 4) != 0;
  options.targets_required = (choice & 8) == 0;
  const bool masked = (choice & 16) != 0, tested = (choice & 32) != 0, packed = (choice & 64) != 0;
  options.csv_target = kTargets[input.below(std::size(kTargets))];
  options.csv_header = kWords[input.below(3)];
  options.csv_index = kWords[input.below(std::size(kWords))];
  const std::string bytes = input.rest(), half = bytes.substr(bytes.size() / 2);
  const std::string name = as_file(bytes, packed ? ".gz" : format == 0 ? ".csv" : ".npy");
  const std::string spec = kFormats[format][0] != '\0' ? kFormats[format] + (":" + name) : name;
  if (masked) options.split = as_file(half, ".mask.csv");
  const auto world = comm::Communicator::world();
  const auto loaded = data::load(spec, tested && !masked ? spec : "", options, world);
  // What was read serves for new rows of the same kind.
  options.split.clear();
  data::load_test(spec, loaded.preparation, options, world);
}

std::vector<std::string> seeds(const std::vector<std::string>&) {
  std::vector<std::string> result;
  const auto add = [&](char format, char choice, const std::string& bytes, char target = 0) {
    result.push_back(std::string{format, choice, target, '\0', '\0'} + bytes);
  };
  const std::string table = "a,b,c,y\n1,2,3,4\n2,3,4,5\n0.5,-1e3,7,-2\n9,8,7,nan\n";
  for (const int choice : {0, 1, 2, 3, 4, 8, 9, 11, 16, 32, 33, 40})
    add(0, static_cast<char>(choice), table);
  for (const std::string& text :
       {"0,1,2,3\n1,2,3,4\n5,6,7,8\n"s, ",a,b,y\n0,1,2,u\n1,3,4,v\n2,5,6,u\n"s, "1;2;3\n4;5;6\n"s,
        "1\t2\n3\t4\n"s, "\"a\"\"b\",y\r\n1,2\r\n"s,
        "\xEF\xBB\xBF"
        "a,y\n1,True\n2,False\n"s,
        "\xFF\xFE"
        "a\0,\0"s,
        "1,2\n1\n"s, "1e999,1\n2,3\n"s, "\n\n\n"s, "a"s, std::string(3000, ',')})
    for (const int choice : {0, 2, 9}) add(0, static_cast<char>(choice), text);
  for (const std::string& text :
       {"1 1:0.5 3:2\n-1 2:1\n"s, "0 qid:3 1:2\n"s, "1 0:1\n2 1:1 # x\n"s, "1 2147483647:1\n"s,
        "1 9223372036854775807:1\n"s, "1 3:1 2:1\n"s, "nan 1:1\n"s, "1 1:\n"s})
    for (const int choice : {0, 2, 9}) add(1, static_cast<char>(choice), text);
  const auto npy = [](const std::string& type, const std::string& shape, const std::string& data) {
    std::string header =
        "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    while ((header.size() + 11) % 64 != 0) header += ' ';
    header += '\n';
    return "\x93NUMPY\1\0"s + static_cast<char>(header.size() & 255) +
           static_cast<char>(header.size() >> 8) + header + data;
  };
  add(2, 8, npy("<f8", "(2, 3)", std::string(48, '\1')));
  add(2, 9, npy("<f4", "(4, 2)", std::string(32, '\2')));
  add(2, 8, npy("|b1", "(5,)", "\1\0\1\0\1"s));
  add(2, 8, npy("<i8", "(3000000000, 3000000000)", ""));
  add(2, 8, npy("<f8", "(0, 3)", ""));
  add(2, 8, npy("<U4", "(2,)", std::string(32, 'a')));
  add(3, 8, "\0\0\x08\3\0\0\0\2\0\0\0\2\0\0\0\2"s + "abcdefgh");
  add(3, 8, "\0\0\x08\1\xff\xff\xff\xff"s);
  add(4, 2, "\3"s + std::string(3072, 'x') + "\1"s + std::string(3072, 'y'));
  for (const auto& text : {table, "1 1:0.5\n"s}) {
    const auto path = gzipped(text);
    std::string bytes;
    if (gzFile file = gzopen(path.c_str(), "rb")) gzclose(file);
    if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
      for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) bytes += static_cast<char>(c);
      std::fclose(file);
    }
    add(text == table ? 0 : 1, 64, bytes);
  }
  for (const std::string& magic : {"PK\3\4"s, "BZh9"s,
                                   "\xFD"
                                   "7zXZ\0"s,
                                   "\x89HDF\r\n\x1a\n"s, "\x1f\x8b\x08"s})
    add(5, 0, magic + table);
  return result;
}

}  // namespace mercer::fuzz
