// Every bad input is one line that names the file and the place, and says what would be right.
#include <limits>

#include "files.hpp"

namespace mercer {
namespace {

using test::load_error;
using test::TemporaryFolder;

/// EXPECTs that an error was thrown whose text contains every one of `parts`.
void expect_parts(const std::string& error, const std::vector<std::string>& parts) {
  EXPECT_FALSE(error.empty()) << "nothing was thrown";
  for (const auto& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
}

std::string any_npy(const std::string& shape = "(4, 2)", Index elements = 8) {
  return test::npy<double>("<f8", shape, elements, [](Index p) { return static_cast<double>(p); });
}

TEST(BadInput, MissingFilesOfEveryFormat) {
  for (const std::string prefix : {"npy:", "csv:", "libsvm:", "idx:", "cifar:"})
    expect_parts(load_error(prefix + "/nowhere/file"), {"/nowhere/file", "no such file"});
}

TEST(BadInput, FoldersAndEmptyFilesOfEveryFormat) {
  TemporaryFolder folder;
  const auto empty = folder.write_raw("empty", "");
  const auto zipped = folder.write("empty.gz", "");
  for (const std::string prefix : {"npy:", "csv:", "libsvm:", "idx:", "cifar:"}) {
    expect_parts(load_error(prefix + (folder / "")), {"folder"});
    expect_parts(load_error(prefix + empty), {empty, "empty"});
    expect_parts(load_error(prefix + zipped), {zipped});
  }
}

TEST(BadInput, GzipThatIsTruncatedCorruptOrNone) {
  TemporaryFolder folder;
  std::string content;  // does not compress to nothing
  for (Index i = 0; i < 20000; ++i) content += std::to_string(i * 7919 % 10007) + ",1\n";
  const std::string bytes = test::file_bytes(folder.write("whole.csv.gz", content));

  const auto cut = folder.write_raw("cut.csv.gz", bytes.substr(0, bytes.size() / 2));
  expect_parts(load_error(cut), {cut, "truncated"});
  const auto trailer = folder.write_raw("trailer.csv.gz", bytes.substr(0, bytes.size() - 3));
  expect_parts(load_error(trailer), {trailer, "truncated"});
  std::string changed = bytes;
  changed[changed.size() - 6] = static_cast<char>(changed[changed.size() - 6] ^ 1);  // the CRC
  const auto crc = folder.write_raw("crc.csv.gz", changed);
  expect_parts(load_error(crc), {crc, "corrupt gzip data"});
  changed = bytes;
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 64; ++i) changed[i] = '\xff';
  const auto middle = folder.write_raw("middle.csv.gz", changed);
  expect_parts(load_error(middle), {middle, "corrupt gzip data"});
  const auto plain = folder.write_raw("plain.csv.gz", "1,2\n");
  expect_parts(load_error(plain), {plain, "not gzip"});
}

TEST(BadInput, WrongMagicNumbers) {
  TemporaryFolder folder;
  const auto png = folder.write("x", "\x89PNG\r\n\x1a\n and more");
  expect_parts(load_error("npy:" + png), {png, "magic number 89 50 4e 47", "byte 0", "93 4e"});
  expect_parts(load_error("idx:" + png), {png, "magic number 89 50 4e 47", "byte 0", "00 00"});
  expect_parts(load_error("cifar:" + png), {png, "3073"});
  expect_parts(load_error("csv:" + png), {png, "is not text", "byte"});
  expect_parts(load_error("libsvm:" + png), {png, "is not text", "byte"});
}

TEST(BadInput, PackedAndForeignFilesAreNamed) {
  using namespace std::string_literals;
  TemporaryFolder folder;
  const std::pair<std::string, std::string> known[] = {
      {"\xFD"
       "7zXZ\0\0\4"s,
       "xz-compressed"},
      {"BZh91AY&SY", "bzip2-compressed"},
      {"\x28\xB5\x2F\xFD\x24\x05"s, "zstd-compressed"},
      {"PK\3\4\x14\0"s, "zip archive"},
      {"7z\xBC\xAF\x27\x1C"s, "7z archive"},
      {"\xFF\xFE"
       "1\0,\0"s,
       "UTF-16"},
      {"\xFE\xFF\0"
       "1\0,"s,
       "UTF-16"},
      {"PAR1....", "Parquet"},
      {"\x89HDF\r\n\x1a\n", "HDF5 file: write h5:"}};
  for (const auto& [magic, what] : known)
    for (const std::string prefix : {"csv:", "npy:", "libsvm:", "idx:", "cifar:", "h5:"}) {
      if (prefix == "h5:" && what.starts_with("HDF5")) continue;
      const auto path = folder.write_raw("packed", magic + std::string(64, 'x'));
      expect_parts(load_error(prefix + path + (prefix == "h5:" ? ":/x" : "")), {path, what});
    }
  const auto npz = folder.write_raw("x.npz", "PK\3\4" + std::string(64, 'x'));
  expect_parts(load_error("npy:" + npz), {npz, ".npz", "numpy.save"});
  const auto gz = folder.write("twice.csv.gz", "BZh91AY&SY");
  expect_parts(load_error(gz), {gz, "bzip2"});
  expect_parts(load_error("x.csv.xz"), {"x.csv.xz", "xz -d"});
  expect_parts(load_error("x.npz"), {"x.npz", "numpy.save"});
  expect_parts(load_error("x.csv.bz2"), {"bzip2 -d"});
  const auto bare = folder.write_raw("bare.csv", "1\0,\0002\0\n\0"s);
  expect_parts(load_error(bare), {bare, "is not text", "UTF-16"});
  const auto npy = folder.write_raw("y.npy", any_npy());
  expect_parts(load_error("csv:" + npy), {npy, "NPY file", "write npy:"});
}

TEST(BadInput, TruncatedAndOverlongArrays) {
  TemporaryFolder folder;
  const std::string whole = any_npy();
  for (const std::string name : {"x.npy", "x.npy.gz"}) {
    expect_parts(load_error(folder.write(name, whole.substr(0, whole.size() - 1))),
                 {name, "truncated"});
    expect_parts(load_error(folder.write(name, whole + "x")), {name, "corrupt"});
    expect_parts(load_error(folder.write(name, whole.substr(0, 30))),
                 {name, "truncated", "header"});
    expect_parts(load_error(folder.write(name, whole.substr(0, 7))), {name, "truncated"});
  }
  const std::string images = test::idx({5, 2, 2}, [](Index) { return 1; });
  for (const std::string name : {"i-ubyte", "i-ubyte.gz"}) {
    expect_parts(load_error(folder.write(name, images.substr(0, images.size() - 3))),
                 {name, "truncated"});
    expect_parts(load_error(folder.write(name, images + "xx")), {name, "corrupt"});
    expect_parts(load_error(folder.write(name, images.substr(0, 10))),
                 {name, "truncated", "header"});
  }
  const std::string records = test::cifar(
      2, [](Index) { return 1; }, [](Index, Index, Index) { return 1; });
  for (const std::string name : {"c.bin", "c.bin.gz"})
    expect_parts(load_error(folder.write(name, records.substr(0, 4000))),
                 {name, "truncated", "4000 bytes"});
}

TEST(BadInput, HeadersThatPromiseMoreThanThereIs) {
  TemporaryFolder folder;
  expect_parts(load_error(folder.write("x.npy.gz", any_npy("(1000000000, 1000)", 8))),
               {"x.npy.gz", "promises"});
  expect_parts(load_error(folder.write("y.npy", any_npy("(4000000000, 4000000000)", 8))),
               {"y.npy", "promises"});
  expect_parts(
      load_error(folder.write(
          "z-ubyte.gz", test::idx({3}, [](Index) { return 1; }).replace(4, 4, "\xff\xff\xff\xff"))),
      {"z-ubyte.gz", "promises"});
}

TEST(BadInput, NpyHeadersThatAreNone) {
  TemporaryFolder folder;
  const auto with = [&](const std::string& dictionary, int version = 1) {
    return load_error(
        folder.write("x.npy", test::npy_header(dictionary, version) + std::string(64, '\0')));
  };
  expect_parts(with("{'fortran_order': False, 'shape': (8,)}"), {"descr"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': False}"), {"shape"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': False, 'shape': (8"), {"shape"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': False, 'shape': (-8,)}"), {"'-8'"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (8,)}"), {"'Maybe'"});
  expect_parts(with("{'descr': '<c16', 'fortran_order': False, 'shape': (4,)}"), {"<c16"});
  expect_parts(with("{'descr': '|O', 'fortran_order': False, 'shape': (8,)}"), {"|O"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': False, 'shape': ()}"), {"single number"});
  expect_parts(with("{'descr': '<f8', 'fortran_order': False, 'shape': (8,)}", 9), {"version 9"});
}

TEST(BadInput, NoRows) {
  TemporaryFolder folder;
  expect_parts(load_error(folder.write("x.npy", any_npy("(0, 5)", 0))), {"x.npy", "0 x 5"});
  expect_parts(load_error(folder.write("x.npy", any_npy("(5, 0)", 0))), {"x.npy", "5 x 0"});
  expect_parts(load_error(folder.write("x-ubyte", test::idx({0, 2, 2}, [](Index) { return 1; }))),
               {"x-ubyte", "0 x 2 x 2"});
  expect_parts(load_error(folder.write("x.csv", "a,b,c\n")), {"x.csv", "no rows"});
  expect_parts(load_error(folder.write("x.csv", "\n\n")), {"x.csv", "no rows"});
  expect_parts(load_error(folder.write("x.svm", "# only a comment\n")), {"x.svm", "no rows"});
  expect_parts(load_error("circle:n=0"), {"circle:n=0", "at least 1"});
}

TEST(BadInput, CsvNamesRowAndColumn) {
  TemporaryFolder folder;
  expect_parts(load_error(folder.write("x.csv", "1,2,3\n4,5,6\n7,8\n")),
               {"x.csv", "row 3", "has 2 columns", "has 3"});
  expect_parts(load_error(folder.write("x.csv", "1,2,3\n4,5,6,7\n")),
               {"row 2", "has 4 columns", "has 3"});
  expect_parts(load_error(folder.write("x.csv", "a,b\n1,2\n3,four\n")),
               {"row 3", "column 2", "'four' is not a number"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n3,4x\n")), {"row 2", "column 2", "'4x'"});
  expect_parts(load_error(folder.write("x.csv", "1,two\n3,4\n")), {"row 1", "column 2", "'two'"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n,4\n")), {"row 2", "column 1", "empty"});
  expect_parts(load_error(folder.write("x.csv", "1,2\nnan,4\n")), {"row 2", "column 1", "finite"});
  expect_parts(load_error(folder.write("x.csv", "a,b,y\n1,2,3\n4,NA,6\n,,9\n7,inf,9\n")),
               {"row 3", "column 2", "b: 'NA'", "3 inputs in 2 rows are missing"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n-inf,4\n")), {"row 2", "column 1", "finite"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n1e999,4\n")),
               {"row 2", "column 1", "finite"});
  expect_parts(load_error(folder.write("x.csv", "1\n2\n")), {"one column", "none"});
  data::Options options;
  options.csv_target = "price";
  expect_parts(load_error(folder.write("x.csv", "a,b\n1,2\n"), options),
               {"'price'", "header names a, b"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n"), options), {"'price'", "no header"});
  options.csv_target = "2";
  expect_parts(load_error(folder.write("x.csv", "1,2\n"), options), {"column 2", "0 to 1"});
  options.csv_target = "-3";
  expect_parts(load_error(folder.write("x.csv", "1,2\n"), options), {"column -3", "-2 to -1"});
  options.csv_target = "1,-2";
  expect_parts(load_error(folder.write("x.csv", "1,2,3\n"), options), {"'-2'", "given twice"});
  options.csv_target = "none";
  expect_parts(load_error(folder.write("x.csv", "1,2\n"), options), {"no targets"});
  options = {};
  expect_parts(load_error(folder.write("x.csv", "a,b,a\n1,2,3\n")),
               {"x.csv", "two columns", "'a'"});
  options.csv_header = "maybe";
  expect_parts(load_error(folder.write("x.csv", "1,2\n"), options), {"maybe", "yes, no or auto"});
  options = {};
  expect_parts(load_error(folder.write("x.csv", "1;2,5\n3;4,5\n")), {"'2,5'", "point"});
  expect_parts(load_error(folder.write("x.csv", "a,b\n1,red\n2,blue\n")),
               {"row 2", "column 2", "'red'", "`one_hot`"});
  for (const std::string text : {"0,1,2\n3,4,5\n6,7,8\n", "0,1\n0.5,2.5\n"})
    expect_parts(load_error(folder.write("x.csv", text)), {"first row is 0, 1", "`header` yes"});
  options.csv_index = "1";
  expect_parts(load_error(folder.write("x.csv", "a,b\n1,2\n"), options),
               {"both the target and the index"});
}

TEST(BadInput, LibsvmNamesRowAndColumn) {
  TemporaryFolder folder;
  expect_parts(load_error(folder.write("x.svm", "1 1:2\n1 0:3\n") + ",base=1"),
               {"x.svm", "row 2", "index 0", "base=1", "count from 1"});
  expect_parts(load_error(folder.write("x.svm", "1 1:2\n1 -1:3\n")),
               {"x.svm", "row 2", "column 2", "index -1"});
  expect_parts(load_error(folder.write("x.svm", "1 1:2 9:1\n") + ",d=8"),
               {"row 1", "index 9", "d = 8"});
  expect_parts(load_error(folder.write("x.svm", "1 1:2\n") + ",d=0"), {"d = '0'", "at least 1"});
  expect_parts(load_error(folder.write("x.svm", "1 1:2\n") + ",base=2"), {"base", "0 or 1"});
  expect_parts(load_error(folder.write("x.svm", "1 1:2\n2:1\n")), {"row 2", "no label"});
  expect_parts(load_error(folder.write("x.svm", "1:2\n2:1\n")), {"no targets"});
  expect_parts(load_error(folder.write("x.svm", "1 3:2 2:1\n")), {"row 1", "column 3", "index 2"});
  expect_parts(load_error(folder.write("x.svm", "1 3:2 3:1\n")), {"index 3 after 3"});
  expect_parts(load_error(folder.write("x.svm", "1 3:x\n")), {"row 1", "column 2", "'x'"});
  expect_parts(load_error(folder.write("x.svm", "1 3:nan\n")), {"row 1", "column 2", "finite"});
  expect_parts(load_error(folder.write("x.svm", "yes 3:1\n")), {"row 1", "column 1", "'yes'"});
  expect_parts(load_error(folder.write("x.svm", "1 3\n")), {"'3'", "index:value"});
  expect_parts(load_error(folder.write("x.svm", "1\n2\n")), {"no row has a feature"});
  const auto train = folder.write("train.svm", "1 3:1\n"),
             test = folder.write("test.svm", "1 0:1\n");
  expect_parts(load_error(train, {}, test), {"test.svm", "row 1", "index 0", "training set"});
}

TEST(BadInput, NotANumberInArrays) {
  TemporaryFolder folder;
  for (double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const auto x = folder.write("x.npy", test::npy<double>("<f8", "(4, 3)", 12, [&](Index p) {
                                  return p == 7 ? bad : 1.0;
                                }));
    expect_parts(load_error(x), {"x.npy", "row 3, column 2", "finite"});
  }
  const auto x = folder.write("x.npy", any_npy());
  const auto y = folder.write("y.npy", test::npy<float>("<f4", "(4,)", 4, [](Index p) {
                                return p == 3 ? std::numeric_limits<double>::quiet_NaN() : 1.0;
                              }));
  expect_parts(load_error(x + "," + y),
               {"y.npy", "1 of 4 training rows has no target", "data row 4", "`split`"});
  const auto z = folder.write("z.npy", test::npy<float>("<f4", "(4,)", 4, [](Index p) {
                                return p == 3 ? std::numeric_limits<double>::infinity() : 1.0;
                              }));
  expect_parts(load_error(x + "," + z), {"z.npy", "row 4, column 1", "inf is not a finite"});
}

TEST(BadInput, TargetsOfAnotherLengthOrNone) {
  TemporaryFolder folder;
  const auto x = folder.write("x.npy", any_npy());
  const auto y = folder.write("y.npy", any_npy("(5,)", 5));
  expect_parts(load_error(x + "," + y), {"x.npy", "4 rows", "y.npy", "5"});
  expect_parts(load_error("npy:" + x), {x, "no targets", "npy:X.npy,y.npy"});
  const auto images = folder.write("i-ubyte", test::idx({5, 2, 2}, [](Index) { return 1; }));
  const auto labels = folder.write("l-ubyte", test::idx({6}, [](Index) { return 1; }));
  expect_parts(load_error(images + "," + labels), {"i-ubyte", "5 rows", "l-ubyte", "6"});
  expect_parts(load_error(images + "," + images), {"i-ubyte", "no label file", "3 dimensions"});
  expect_parts(load_error(images), {"no targets"});
}

TEST(BadInput, LabelsThatAreNoClasses) {
  TemporaryFolder folder;
  const auto labels = [](Index i) { return i == 2 ? 10 : 1; };
  const auto zero = [](Index, Index, Index) { return 0; };
  for (const std::string name : {"c.bin", "c.bin.gz"})
    expect_parts(load_error(folder.write(name, test::cifar(4, labels, zero))),
                 {name, "image 3", "byte 6146", "label 10", "0 to 9"});
  data::Options options;
  options.one_hot = true;
  const auto two = folder.write("two.csv", "1,0\n1,1.5\n");
  expect_parts(load_error(two, options, folder.write("x.csv", "1,0\n1,1\n")),
               {"x.csv", "data row 2", "label 1,", "0, 1.5"});
  expect_parts(load_error(folder.write("x.csv", "1,2\n1,2\n"), options),
               {"x.csv", "every training row", "label 2", "two classes"});
  std::string many;
  for (Index i = 0; i <= 65536; ++i) many += fmt::format("1,{}\n", i);
  expect_parts(load_error(folder.write("x.csv", many), options), {"65536", "measurements"});
  many.clear();
  for (Index i = 0; i <= 65536; ++i) many += fmt::format("1,n{}\n", i);
  expect_parts(load_error(folder.write("x.csv", many), options), {"65536", "measurements"});
  const auto x = folder.write("x.npy", any_npy()), y = folder.write("y.npy", any_npy());
  expect_parts(load_error(x + "," + y, options), {"2 target columns"});
}

TEST(BadInput, Splits) {
  TemporaryFolder folder;
  const auto x = folder.write("x.csv", "1,2\n3,4\n5,6\n");
  const auto with = [&](const std::string& mask, const std::string& column) {
    data::Options options;
    options.split = folder.write("mask.csv", mask) + ":" + column;
    return load_error(x, options);
  };
  expect_parts(with("0\n1\n", "0"), {"mask.csv has 2 rows,", "x.csv has 3"});
  expect_parts(with("test\n0\n1\n", "test"), {"mask.csv has 2 rows below its header", "has 3"});
  expect_parts(with(",0,1\n0,0,1\n1,0,1\n", "1"), {"mask.csv has 2 rows below its header"});
  expect_parts(with("0,1,2\n0,0,1\n1,0,1\n", "0"), {"mask.csv has 2 rows below its header"});
  expect_parts(with("0\n1\n0\n1\n0\n", "0"), {"mask.csv has 5 rows,", "x.csv has 3"});
  expect_parts(with("0,1\n1,0\n0,0\n", "2"), {"mask.csv", "no split column 2", "0 to 1"});
  expect_parts(with("0,1\n1,0\n0,0\n", "x"), {"mask.csv", "no split column 'x'", "no header"});
  expect_parts(with("a,b\n0,1\n1,0\n0,0\n", "x"), {"mask.csv", "'x'", "names a, b"});
  expect_parts(with("a,b\n0,1\n1\n0,0\n", "b"), {"mask.csv", "row 3", "has 1 columns"});
  expect_parts(with("0\n2\n1\n", "0"), {"mask.csv", "row 2", "'2'", "is not 0, 1, False or True"});
  expect_parts(with("0\n\"\"\n1\n", "0"), {"mask.csv", "row 2", "''"});
  expect_parts(with("t\n0\nmaybe\n1\n", "t"), {"mask.csv", "row 3, column 1", "'maybe'"});
  expect_parts(with("0\n0\n0\n", "0"), {"no test rows"});
  expect_parts(with("1\n1\n1\n", "0"), {"no training rows"});
  expect_parts(with("0\n1\n0\n", ""), {"MASK.csv:COLUMN"});
  data::Options options;
  options.split = folder.write("two.csv", "a,b\n0,1\n1,0\n0,0\n");
  expect_parts(load_error(x, options),
               {"two.csv has 2 columns", "two.csv:COLUMN", "a, b", "0 to 1"});
  options.split = folder.write("four.npy", test::npy<std::uint8_t>("|b1", "(4,)", 4, [](Index p) {
                                 return static_cast<double>(p % 2);
                               }));
  expect_parts(load_error(x, options), {"four.npy has 4 rows", "x.csv has 3"});
  options.split = "/nowhere/mask.csv:0";
  expect_parts(load_error(x, options), {"/nowhere/mask.csv", "no such file"});
  expect_parts(load_error(x, options, x), {"leave out the test set"});
}

TEST(BadInput, LimitsAndScalesOutOfRange) {
  TemporaryFolder folder;
  const auto csv = folder.write("x.csv", "1,2\n3,4\n5,6\n"), npy = folder.write("x.npy", any_npy());
  data::Options options;
  options.limit = 4;
  expect_parts(load_error(csv, options), {"`limit` 4", "x.csv has only 3 rows"});
  options.limit = 5;
  options.targets_required = false;
  expect_parts(load_error(npy, options), {"`limit` 5", "x.npy has only 4 rows"});
  options.limit = 0;
  expect_parts(load_error(csv, options), {"`limit` 0", "at least 1"});
  options = {};
  options.limit_test = 9;
  expect_parts(load_error(csv, options, csv), {"`limit_test` 9", "only 3 rows"});
  expect_parts(load_error(csv, options), {"`limit_test` 9", "no test set"});
  options.split = folder.write("mask.csv", "0\n1\n0\n") + ":0";
  expect_parts(load_error(csv, options), {"`limit_test` 9", "only 1 test rows"});
  options = {};
  options.limit = 3;
  options.split = folder / "mask.csv:0";
  expect_parts(load_error(csv, options), {"`limit` 3", "only 2 training rows"});
  options = {};
  options.scale = std::numeric_limits<double>::quiet_NaN();
  expect_parts(load_error(csv, options), {"`scale` nan", "finite"});
  options.scale = 0;
  expect_parts(load_error(csv, options), {"`scale` 0"});
  options.scale = 1e308;
  expect_parts(load_error(csv, options), {"overflows"});
}

TEST(BadInput, Specifications) {
  expect_parts(load_error(""), {"empty"});
  expect_parts(load_error("nyp:x.npy"), {"'nyp'", "npy, csv, libsvm"});
  expect_parts(load_error("somefile"), {"'somefile'", "FORMAT:"});
  expect_parts(load_error("npy:"), {"file name"});
  expect_parts(load_error("npy:a,b,c"), {"one file or two"});
  expect_parts(load_error("npy:a,"), {"one file or two"});
  expect_parts(load_error("h5:file.h5"), {"h5:FILE:/x"});
  expect_parts(load_error("circle"), {"n= is missing"});
  expect_parts(load_error("circle:freq=3"), {"n= is missing"});
  expect_parts(load_error("circle:n=10,frequency=3"), {"'frequency'", "amplitude, freq, grid, n"});
  expect_parts(load_error("circle:n=10,n=10"), {"twice"});
  expect_parts(load_error("circle:n=ten"), {"n = 'ten'", "whole number"});
  expect_parts(load_error("circle:n=10,freq=1.5"), {"freq = '1.5'", "whole number"});
  expect_parts(load_error("circle:n=10,grid=yes"), {"grid takes no value"});
  expect_parts(load_error("circle:n=10,amplitude=nan"), {"amplitude = 'nan'"});
  expect_parts(load_error("sphere:n=10"), {"d= is missing"});
  expect_parts(load_error("sphere:n=10,d=1"), {"d = '1'", "at least 2"});
  expect_parts(load_error("gaussian:n=10,d=3,degree=2"), {"'degree'", "d, n"});
}

TEST(BadInput, TrainingRowsWithoutTargets) {
  TemporaryFolder folder;
  for (const std::string missing : {"", "nan", "NaN", "NA", "<NA>", "\"\"", "NULL"}) {
    SCOPED_TRACE(missing);
    const auto x =
        folder.write("x.csv", "a,b,y\n1,2,3\n4,5," + missing + "\n7,8,9\n10,11," + missing + "\n");
    expect_parts(load_error(x),
                 {"x.csv", "2 of 4 training rows have no target", "data row 2", "`split`"});
    data::Options options;
    options.one_hot = true;
    expect_parts(load_error(x, options), {"2 of 4 training rows have no target", "data row 2"});
    options.one_hot = false;
    options.limit = 1;
    EXPECT_EQ(load_error(x, options), "");
  }
  expect_parts(load_error(folder.write("n.csv", "a,b,y\n1,2,\n4,5,\n")),
               {"2 of 2 training rows have no target"});
  expect_parts(load_error(folder.write("x.svm", "nan 1:1\n2 1:3\n")),
               {"x.svm", "1 of 2 training rows has no target", "data row 1"});
  expect_parts(load_error(folder.write("x.svm", "2 1:3\n1:1\n")), {"row 2", "nan stands for"});
  data::Options options;
  options.csv_target = "y1,y2";
  expect_parts(load_error(folder.write("x.csv", "y1,a,y2\n1,2,3\n1,2,\n"), options),
               {"1 of 2 training rows has no target", "data row 2"});
}

TEST(BadInput, CsvAsOthersWriteIt) {
  TemporaryFolder folder;
  const auto error = [&](const std::string& text) {
    return load_error(folder.write("x.csv", text));
  };
  for (const std::string number : {"\"1,234\"", "\"1,234.5\"", "\"2,5\""}) {
    expect_parts(error("a,b,y\n1,2,3\n4," + number + ",6\n"),
                 {"row 3, column 2 (counted from 1), b", "is not a number", "with a point",
                  "without a separator"});
    expect_parts(error("a,y\n1,2\n4," + number + "\n"), {"row 3, column 2", "with a point"});
  }
  expect_parts(error("a\tb\ty\n1,5\t2\t3\n"), {"row 2, column 1", "'1,5'", "with a point"});
  expect_parts(error("a,color,y\n1,red,3\n4,blue,6\n"),
               {"row 2, column 2", "color: 'red' is not a number", "get_dummies"});
  expect_parts(error("a,b,y\n1,2,3,4\n5,6,7,8\n"),
               {"row 2", "4 columns", "has 3", "a name is missing"});
  expect_parts(error("a,b,y,\n1,2,3,\n4,5,6,7\n"), {"1 of 2 training rows has no target"});
}

TEST(BadInput, OptionsThatHaveNoEffect) {
  TemporaryFolder folder;
  const auto x = folder.write("x.npy", any_npy()), y = folder.write("y.npy", any_npy("(4,)", 4));
  const auto csv = folder.write("x.csv", "a,b,y\n1,2,3\n");
  for (auto [option, value] :
       {std::pair(&data::Options::csv_target, "y"), std::pair(&data::Options::csv_header, "yes"),
        std::pair(&data::Options::csv_index, "0")}) {
    data::Options options;
    options.*option = value;
    for (const std::string& spec : {"npy:" + x + "," + y, std::string("circle:n=5")})
      expect_parts(load_error(spec, options), {" " + options.*option + ": is for CSV files", spec});
    EXPECT_EQ(load_error("npy:" + x + "," + y, options, csv).find("is for CSV"), std::string::npos);
  }
  data::Options options;
  options.limit_test = 1;
  expect_parts(
      test::input_error([&] { data::load_inputs(csv, options, comm::Communicator::world()); }),
      {"`limit_test` 1", "no test rows"});
}

TEST(BadInput, TestSetsThatDoNotFit) {
  TemporaryFolder folder;
  const auto two = folder.write("two.csv", "1,2,3\n"),
             three = folder.write("three.csv", "1,2,3,4\n");
  expect_parts(load_error(two, {}, three),
               {"three.csv", "has 4 columns", "has 2 inputs", "2 are needed, or 3 with targets"});
  data::Options options;
  options.one_hot = true;
  const auto split = data::load(folder.write("labels.csv", "1,0\n1,1\n"), "", options,
                                comm::Communicator::world());
  const auto more = folder.write("more.csv", "1,4\n");
  expect_parts(test::input_error([&] {
                 data::load_test(more, split.preparation, {}, comm::Communicator::world());
               }),
               {"more.csv", "data row 1", "label 4", "0, 1"});
}

}  // namespace
}  // namespace mercer
