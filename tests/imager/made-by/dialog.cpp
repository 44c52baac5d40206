// What the dialog of Imager 2.x writes: its own src/customization_generator.cpp, asked with the
// settings of a file. usage: dialog SETTINGS.json FOLDER
#include "customization_generator.h"

#include <QFile>
#include <QJsonDocument>
#include <QJsonObject>
#include <QVariantMap>

using rpi_imager::CustomisationGenerator;

static void put(const QString &path, const QByteArray &data) {
  if (data.isEmpty()) return;
  QFile file(path);
  if (!file.open(QIODevice::WriteOnly) || file.write(data) != data.size()) exit(1);
}

int main(int, char **words) {
  QFile file(words[1]);
  if (!file.open(QIODevice::ReadOnly)) return 1;
  const QVariantMap settings = QJsonDocument::fromJson(file.readAll()).object().toVariantMap();
  const QString folder = words[2], token = settings["token"].toString();
  const bool ssh = settings["sshEnabled"].toBool();
  put(folder + "/firstrun.sh", CustomisationGenerator::generateSystemdScript(settings, token));
  const QByteArray cloud =
      CustomisationGenerator::generateCloudInitUserData(settings, token, false, ssh, "me");
  // The first line: `_customizeImage` in src/downloadthread.cpp.
  if (!cloud.isEmpty()) put(folder + "/user-data", "#cloud-config\n" + cloud);
  put(folder + "/network-config",
      CustomisationGenerator::generateCloudInitNetworkConfig(settings, false));
#ifdef PRESEED
  put(folder + "/rpi-preseed.toml",
      CustomisationGenerator::generateRpiPreseedToml(settings, token, false, ssh, "me"));
#endif
}
