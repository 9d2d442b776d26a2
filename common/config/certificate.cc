#include "common/config/certificate.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "common/base/limits.h"
#include "common/config/read_file.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

constexpr OriginRow kRows[] = {
    {"file", "path", "", "/etc/weir/tls/chain.pem", "PEM",
     "The certificate, then what leads to its root. Must be given."},
    {"key", "path", "", "/etc/weir/tls/key.pem", "PEM",
     "Its private key, without a passphrase. Must be given."},
    {"ocsp", "path", "", "/etc/weir/tls/ocsp.der", "DER",
     "An OCSP response to staple, renewed by whoever renews the file, then SIGHUP."},
};

class CertificateReader {
 public:
  CertificateReader(const Statement& block, const Document& document, FaultList& faults)
      : block_(block), document_(document), faults_(faults) {}

  CertificateConfig read() {
    if (block_.values.size() == 1 && !block_.values[0].text.empty() &&
        block_.values[0].text.size() <= limits::kOriginTextBytes) {
      made_.tls.name = block_.values[0].text;
    } else {
      faults_.add(document_, block_.name.at, "a certificate has one name, of up to 63 bytes");
    }
    for (const Statement& statement : block_.children) read_statement(statement);
    if (seen_.count("file") == 0) fault(block_.name.at, "", "has no file");
    if (seen_.count("key") == 0) fault(block_.name.at, "", "has no key");
    return made_;
  }

 private:
  void fault(const Place& at, std::string_view option, const std::string& text) {
    std::string path = "certificate " + (made_.tls.name.empty() ? "?" : made_.tls.name);
    if (!option.empty()) path.append(".").append(option);
    faults_.add(document_, at, path + ": " + text);
  }

  void read_statement(const Statement& statement) {
    const std::string& name = statement.name.text;
    const bool known = std::any_of(std::begin(kRows), std::end(kRows),
                                   [&](const OriginRow& row) { return row.name == name; });
    if (!known) return fault(statement.name.at, "", unknown_option(name, kRows));
    if (statement.is_block) return fault(statement.name.at, name, "is not a block");
    if (!seen_.insert(name).second) return fault(statement.name.at, name, "is given twice");
    if (statement.values.size() != 1) return fault(statement.name.at, name, "takes one value");
    const Word& value = statement.values[0];
    auto text = read_file(value.text, limits::kCertificateBytes);
    if (!text) {
      fault(value.at, name, show(value.text) + ": " + text.error().text);
    } else if (name == "file") {
      made_.file = value.text;
      made_.tls.chain = std::move(*text);
    } else if (name == "key") {
      made_.key = value.text;
      made_.tls.key = std::move(*text);
    } else {
      made_.ocsp = value.text;
      made_.tls.ocsp = std::move(*text);
    }
  }

  const Statement& block_;
  const Document& document_;
  FaultList& faults_;
  CertificateConfig made_;
  std::set<std::string> seen_;
};

}  // namespace

std::span<const OriginRow> certificate_rows() {
  return kRows;
}

CertificateConfig read_certificate(const Statement& block, const Document& document,
                                   FaultList& faults) {
  CertificateConfig made = CertificateReader(block, document, faults).read();
  const Place& at = block.name.at;
  made.source.text = document.files[at.file] + ":" + std::to_string(at.line);
  return made;
}

std::string print_certificate(const CertificateConfig& certificate) {
  std::string out =
      "certificate " + print_word(certificate.tls.name) + " {  # " + certificate.source.text + "\n";
  out += "    file " + print_word(certificate.file) + ";\n";
  out += "    key " + print_word(certificate.key) + ";\n";
  if (!certificate.ocsp.empty()) out += "    ocsp " + print_word(certificate.ocsp) + ";\n";
  return out + "}\n";
}

}  // namespace weir::config
