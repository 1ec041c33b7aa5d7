### كل ما يقوله الرمز والإشعارات والنافذة.

language-name = العربية
direction = rtl

## الجملة الواحدة

sentence-not-set-up = غير مُعَدّ
sentence-synced = كل شيء محدَّث
sentence-syncing = { $left ->
    [0] جارٍ التزامن
   *[other] جارٍ التزامن (بقي { $left })
}
sentence-offline = { $waiting ->
    [0] غير متصل منذ { $time }
    [one] غير متصل، تغيير واحد في الانتظار منذ { $time }
    [two] غير متصل، تغييران في الانتظار منذ { $time }
    [few] غير متصل، { $waiting } تغييرات في الانتظار منذ { $time }
    [many] غير متصل، { $waiting } تغييرًا في الانتظار منذ { $time }
   *[other] غير متصل، { $waiting } تغيير في الانتظار منذ { $time }
}
sentence-paused = متوقف مؤقتًا
sentence-paused-until = متوقف مؤقتًا حتى { $time }
sentence-attention = يحتاج إلى انتباه ({ $count })
sentence-error = تتعذر المزامنة ({ $reason })

## قائمة الرمز

menu-sync-now = زامِن الآن
menu-pause = إيقاف مؤقت لمدة
menu-pause-minutes = { $minutes ->
    [one] دقيقة واحدة
    [two] دقيقتان
    [few] { $minutes } دقائق
    [many] { $minutes } دقيقة
   *[other] { $minutes } دقيقة
}
menu-pause-hours = { $hours ->
    [one] ساعة واحدة
    [two] ساعتان
    [few] { $hours } ساعات
    [many] { $hours } ساعة
   *[other] { $hours } ساعة
}
menu-pause-open = حتى أستأنف
menu-resume = استئناف
menu-conflicts = التعارضات ({ $count })…
menu-open = فتح
menu-set-up = الإعداد…
menu-help = مساعدة
menu-copy-diagnostics = نسخ بيانات التشخيص
menu-open-logs = فتح مجلد السجلات
menu-about = حول Tillsync
menu-quit = إنهاء

## الإنهاء

quit-title = إنهاء Tillsync؟
quit-unsent = { $count ->
    [one] لم يُرسَل تغيير واحد بعد. يُحفظ ويُرسَل عند تشغيل Tillsync من جديد.
    [two] لم يُرسَل تغييران بعد. يُحفظان ويُرسَلان عند تشغيل Tillsync من جديد.
    [few] لم تُرسَل { $count } تغييرات بعد. تُحفظ وتُرسَل عند تشغيل Tillsync من جديد.
    [many] لم يُرسَل { $count } تغييرًا بعد. تُحفظ وتُرسَل عند تشغيل Tillsync من جديد.
   *[other] لم يُرسَل { $count } تغيير بعد. تُحفظ وتُرسَل عند تشغيل Tillsync من جديد.
}
quit-anyway = إنهاء على أي حال
quit-stay = إبقاء التشغيل

## الإشعارات

notify-failing-title = الخادم لا يجيب
notify-failing = عدد محاولات Tillsync: { $failures }. كل تغيير محفوظ ويُرسَل حين يجيب الخادم.
notify-conflict-title = نقطتا بيع مختلفتان
notify-conflict = { $count ->
    [one] تعارض واحد ينتظر القرار.
    [two] تعارضان ينتظران القرار.
    [few] { $count } تعارضات تنتظر القرار.
    [many] { $count } تعارضًا ينتظر القرار.
   *[other] { $count } تعارض ينتظر القرار.
}
notify-parked-title = رُفض تغيير
notify-parked = { $count ->
    [one] رُفض تغيير واحد وينتظر من ينظر فيه.
    [two] رُفض تغييران وينتظران من ينظر فيهما.
    [few] رُفضت { $count } تغييرات وتنتظر من ينظر فيها.
    [many] رُفض { $count } تغييرًا وتنتظر من ينظر فيها.
   *[other] رُفض { $count } تغيير وتنتظر من ينظر فيها.
}
notify-stopped-title = لا يستطيع Tillsync المزامنة
notify-recovered-title = عاد كل شيء إلى طبيعته
notify-recovered = الخادم يجيب من جديد وكل شيء محدَّث.

## كلمات متكررة

retry = إعادة المحاولة
cancel = إلغاء
back = رجوع
next = التالي
undo = تراجع
loading = جارٍ التحميل…
failed = لم ينجح ذلك: { $why }
nobody-answers = لا يجيب Tillsync. تُعاد المحاولة تلقائيًا.
problem-says = { $why }.
none = لا شيء

## الأقسام

tab-status = الحالة
tab-conflicts = التعارضات
tab-activity = النشاط
tab-settings = الإعدادات
tabs = أقسام النافذة
waiting-badge = { $count ->
    [one] واحد في الانتظار
    [two] اثنان في الانتظار
    [few] { $count } في الانتظار
    [many] { $count } في الانتظار
   *[other] { $count } في الانتظار
}

## الحالة

sync-now = زامِن الآن
pause = إيقاف مؤقت
pause-for = إيقاف مؤقت لمدة…
resume = استئناف
last-sync = آخر مزامنة { $when }
last-sync-never = لم تكتمل المزامنة بعد
ago-now = الآن
ago-minutes = { $minutes ->
    [one] قبل دقيقة
    [two] قبل دقيقتين
    [few] قبل { $minutes } دقائق
    [many] قبل { $minutes } دقيقة
   *[other] قبل { $minutes } دقيقة
}
ago-hours = { $hours ->
    [one] قبل ساعة
    [two] قبل ساعتين
    [few] قبل { $hours } ساعات
    [many] قبل { $hours } ساعة
   *[other] قبل { $hours } ساعة
}
ago-days = { $days ->
    [one] قبل يوم
    [two] قبل يومين
    [few] قبل { $days } أيام
    [many] قبل { $days } يومًا
   *[other] قبل { $days } يوم
}
numbers = أرقام
number-pending = في الانتظار
number-parked = مرفوضة
number-conflicts = تعارضات
oldest-unsent = أقدم عملية بيع لم تُرسَل: { $when }
nothing-unsent = أُرسِل كل شيء
full-sync = المزامنة الأولى
full-sync-rows = { $done } من { $total } صفوف
full-sync-seconds = بقي أقل من دقيقة
full-sync-minutes = { $minutes ->
    [one] بقيت دقيقة واحدة تقريبًا
    [two] بقيت دقيقتان تقريبًا
    [few] بقيت { $minutes } دقائق تقريبًا
    [many] بقيت { $minutes } دقيقة تقريبًا
   *[other] بقيت { $minutes } دقيقة تقريبًا
}
chart = التغييرات في آخر 24 ساعة
chart-sent = مُرسَلة
chart-received = مُستلَمة
chart-summary = في آخر 24 ساعة أُرسِل { $sent } واستُلِم { $received }. أكثرها في الساعة التي تبدأ { $time }.
chart-empty = لم يُرسَل ولم يُستلَم شيء في آخر 24 ساعة
chart-from = قبل 24 ساعة
chart-to = الآن
problems = أمور تحتاج إلى نظر

## التعارضات

conflicts-none = لا توجد تعارضات
conflicts-none-more = حين تغيّر نقطتا بيع الشيء نفسه تغييرين مختلفين، تقرر هنا أيهما يبقى.
conflicts-by = من { $register }
conflict-kind-update = تغيّر في نقطتي بيع
conflict-kind-delete = حُذف في نقطة وتغيّر في أخرى
conflict-kind-create = أُنشئ مرتين بالرقم نفسه
conflict-row = { $entity } · { $key }
conflict-here = هذه النقطة
conflict-there = الخادم
conflict-before = من قبل
conflict-field = الحقل
conflict-written = { $time }، { $register }
conflict-gone-register = نقطة بيع لم تعد موجودة
conflict-no-row = محذوف
conflict-empty = فارغ
conflict-same = { $count ->
    [one] حقل واحد متطابق في الجهتين
    [two] حقلان متطابقان في الجهتين
    [few] { $count } حقول متطابقة في الجهتين
    [many] { $count } حقلًا متطابقًا في الجهتين
   *[other] { $count } حقل متطابق في الجهتين
}
conflict-changed = تغيّر
conflict-keep-here = إبقاء قيمة هذه النقطة
conflict-keep-there = أخذ قيمة الخادم
conflict-each = الاختيار حقلًا حقلًا
conflict-each-done = اعتماد هذا الاختيار
conflict-choose = أي قيمة تبقى للحقل { $field }؟
conflict-all = كل تعارضات { $entity } ({ $count })
conflict-all-here = إبقاء قيم هذه النقطة للكل ({ $count })
conflict-all-there = أخذ قيم الخادم للكل ({ $count })
conflict-decided-here = تبقى قيمة هذه النقطة
conflict-decided-there = تبقى قيمة الخادم
conflict-decided-each = يبقى ما اخترته
conflict-decided-all = { $count ->
    [one] حُسم تعارض واحد
    [two] حُسم تعارضان
    [few] حُسمت { $count } تعارضات
    [many] حُسم { $count } تعارضًا
   *[other] حُسم { $count } تعارض
}
conflict-changed-meanwhile = تغيّر هذا الصف منذ أن نظرت إليه. هذه هي القيم الجديدة؛ يرجى القرار من جديد.
conflict-decided-before = سبق أن قرر { $by } هذا.
conflict-unreachable = تعذّر الوصول إلى الخادم، فلم يُحسم شيء بعد. أعد المحاولة حين يجيب.
conflict-locked = القرار للمدير وحده.

## النشاط

activity-filter = عرض
activity-all = كل شيء
activity-only-trouble = المشكلات
activity-only-sync = المُرسَل والمُستلَم
activity-only-people = القرارات
activity-none = لم يحدث شيء بعد
activity-none-filtered = لا شيء من هذا النوع
activity-list = ما حدث
activity-sent = { $count ->
    [one] أُرسِل تغيير واحد
    [two] أُرسِل تغييران
    [few] أُرسِلت { $count } تغييرات
    [many] أُرسِل { $count } تغييرًا
   *[other] أُرسِل { $count } تغيير
}
activity-received = { $count ->
    [one] استُلِم تغيير واحد
    [two] استُلِم تغييران
    [few] استُلِمت { $count } تغييرات
    [many] استُلِم { $count } تغييرًا
   *[other] استُلِم { $count } تغيير
}
activity-started = بدأ Tillsync
activity-stopped = توقف Tillsync
activity-offline = الخادم لا يجيب
activity-online = الخادم يجيب من جديد
activity-full-sync = اكتملت المزامنة الأولى
activity-paused = إيقاف مؤقت
activity-resumed = استُؤنفت المزامنة
activity-conflict = تعارض في { $entity }، { $row }
activity-decided = حُسم تعارض في { $entity }، { $row }
activity-parked = مرفوض: { $entity }، { $row }
activity-retried = أُعيد إرسال: { $entity }، { $row }
activity-discarded = تُرك: { $entity }، { $row }
parked-list = مرفوضة
parked-retry = إعادة الإرسال
parked-discard = ترك…
parked-incoming = تُعاد المحاولة تلقائيًا
discard-title = ترك هذا التغيير؟
discard-text = لن يصل إلى الخادم أبدًا. تُحفظ نسخة منه في ملف على هذا الجهاز.
discard-yes = ترك
discard-done = تُرك التغيير. النسخة في { $file }

## الإعدادات

setting-name = اسم نقطة البيع
setting-server = الخادم
setting-store = قاعدة البيانات
setting-role = الدور
role-register = نقطة بيع
role-manager = مدير
setting-language = اللغة
language-system = لغة النظام
setting-autostart = التشغيل عند تسجيل الدخول
setting-locked = حدده المسؤول
setting-tables = الجداول
lock-title = المدير
lock-locked = التعارضات والإعدادات للقراءة فقط.
lock-unlock = فتح القفل
lock-lock = قفل
lock-unlocked = القفل مفتوح. يُقفل من جديد عند إغلاق النافذة.
lock-pin = رمز المدير
lock-wrong = ليس هذا هو الرمز.
lock-wait = { $seconds ->
    [one] محاولات كثيرة. انتظر ثانية واحدة.
    [two] محاولات كثيرة. انتظر ثانيتين.
    [few] محاولات كثيرة. انتظر { $seconds } ثوانٍ.
    [many] محاولات كثيرة. انتظر { $seconds } ثانية.
   *[other] محاولات كثيرة. انتظر { $seconds } ثانية.
}
lock-none = لم يُحدَّد رمز للمدير، فيمكن لكل من يعمل هنا أن يقرر.
about-version = Tillsync { $version }

## الإعداد

setup-title = إعداد نقطة البيع
setup-steps = الخطوة { $step } من { $steps }
setup-store = أين يحفظ برنامج البيع بياناته؟
setup-store-found = وُجد على هذا الجهاز
setup-store-none = لم توجد قاعدة بيانات في الأماكن المعتادة. اختر الملف بنفسك.
setup-store-pick = اختيار ملف…
setup-store-tables = { $count ->
    [one] جدول واحد
    [two] جدولان
    [few] { $count } جداول
    [many] { $count } جدولًا
   *[other] { $count } جدول
}
setup-server = أي خادم؟
setup-server-address = عنوان الخادم
setup-server-hint = مثل https://sync.example.com
setup-server-test = اختبار الاتصال
setup-server-testing = جارٍ سؤال الخادم…
setup-server-ok = الخادم يجيب.
setup-code = رمز التسجيل
setup-code-hint = من الشخص الذي يدير الخادم
setup-name = اسم نقطة البيع
setup-name-hint = كما يسميها الناس، مثل: الصندوق 3
setup-pin = رمز المدير (اختياري)
setup-pin-hint = من أربعة إلى ثمانية أرقام. يُطلب قبل حسم أي تعارض هنا.
setup-tables = ما الذي سيُزامَن
setup-table-both = في الاتجاهين
setup-table-push = إرسال فقط
setup-table-pull = استلام فقط
setup-table-no = لا يُزامَن
setup-table-secret = يبقى هنا: { $columns }
setup-table-rows = { $count ->
    [one] صف واحد
    [two] صفان
    [few] { $count } صفوف
    [many] { $count } صفًا
   *[other] { $count } صف
}
setup-begin = بدء المزامنة
setup-working = جارٍ الإعداد…
setup-done = تم إعداد نقطة البيع
setup-done-more = بدأت المزامنة الأولى. يمكنك إغلاق هذه النافذة، وهي تستمر.
setup-open = عرض الحالة
field-missing = يرجى ملء هذا الحقل.

## المشكلات: ما الأمر، وما الذي يمكن فعله

problem-server-unreachable = { $failures ->
    [one] لم يجب الخادم: { $why }.
   *[other] لم يجب الخادم { $failures } مرات متتالية: { $why }.
}
    .action = تحقق من الشبكة ومن عنوان الخادم. كل تغيير محفوظ ويُرسَل حين يجيب الخادم.
problem-server-failing = أخفق الخادم { $failures } مرات متتالية: { $why }.
    .action = أخبر من يدير الخادم. كل تغيير محفوظ ويُرسَل حين يعود الخادم.
problem-not-a-sync-server = ما يجيب على عنوان الخادم ليس خادم مزامنة: { $why }.
    .action = تحقق من عنوان الخادم، أو سجّل الدخول إلى الشبكة إن عرضت صفحة دخول.
problem-key-refused = يرفض الخادم مفتاح هذه النقطة: { $why }.
    .action = اطلب رمز تسجيل جديدًا. كل تغيير محفوظ.
problem-suspended = أوقف الخادم هذه النقطة.
    .action = اطلب من مسؤول الخادم رفع الإيقاف. كل تغيير محفوظ.
problem-copied = هذه نسخة من النقطة { $name } (الجهاز { $device }) الموجودة على جهاز آخر.
    .action = اطلب رمز تسجيل لتصبح نقطة مستقلة. يستمر برنامج البيع، وكل تغيير محفوظ.
problem-parted = كانت هذه نسخة من النقطة { $name } على جهاز آخر، وهي الآن نقطة مستقلة.
    .action = لا حاجة إلى فعل شيء. إن لم يعد الجهاز الآخر موجودًا فيمكن حذفه في الخادم.
problem-key-missing = تتعذر قراءة مفتاح هذه النقطة: { $why }.
    .action = افتح قفل سلسلة المفاتيح، أو اطلب رمز تسجيل جديدًا.
problem-parked = { $count ->
    [one] رفض الخادم أو قاعدة البيانات تغييرًا واحدًا.
    [two] رفض الخادم أو قاعدة البيانات تغييرين.
    [few] رفض الخادم أو قاعدة البيانات { $count } تغييرات.
    [many] رفض الخادم أو قاعدة البيانات { $count } تغييرًا.
   *[other] رفض الخادم أو قاعدة البيانات { $count } تغيير.
}
    .action = تجدها في قسم النشاط: أعد إرسالها أو اتركها.
problem-conflicts = { $count ->
    [one] تعارض واحد مع نقطة أخرى.
    [two] تعارضان مع نقاط أخرى.
    [few] { $count } تعارضات مع نقاط أخرى.
    [many] { $count } تعارضًا مع نقاط أخرى.
   *[other] { $count } تعارض مع نقاط أخرى.
}
    .action = قرر في قسم التعارضات أي قيمة تبقى.
problem-oldest-unsent = { $hours ->
    [one] عمر أقدم تغيير لم يُرسَل ساعة واحدة.
    [two] عمر أقدم تغيير لم يُرسَل ساعتان.
    [few] عمر أقدم تغيير لم يُرسَل { $hours } ساعات.
    [many] عمر أقدم تغيير لم يُرسَل { $hours } ساعة.
   *[other] عمر أقدم تغيير لم يُرسَل { $hours } ساعة.
}
    .action = تحقق من الشبكة ومن الخادم.
problem-table-refused = الجدول { $table } لا يُزامَن: { $why }.
    .action = اطلب من مورّد برنامج البيع مفتاحًا أساسيًا، أو استثنِ الجدول.
problem-settings = الإعدادات لا توافق قاعدة البيانات: { $why }.
    .action = اطلب ممن أعدّ هذه النقطة تصحيح إعدادات الجدول.
problem-key-changed = تعطي الإعدادات الجدول { $table } نوعًا من المفاتيح غير الذي زُومنت به صفوفه.
    .action = اطلب ممن أعدّ هذه النقطة إرجاعه، وإلا جاءت الصفوف مرة ثانية.
problem-journal-lost = حذف برنامج البيع جزءًا من سجل Tillsync ({ $what })؛ أُعيد الجزء وقورنت البيانات صفًا صفًا.
    .action = لا حاجة إلى فعل شيء. إن تكرر ذلك فأخبر مورّد برنامج البيع.
problem-rows-vanished = { $count ->
    [one] اختفى صف واحد من قاعدة البيانات بلا أثر، وما زال في النقاط الأخرى.
    [two] اختفى صفان من قاعدة البيانات بلا أثر، وما زالا في النقاط الأخرى.
    [few] اختفت { $count } صفوف من قاعدة البيانات بلا أثر، وما زالت في النقاط الأخرى.
    [many] اختفى { $count } صفًا من قاعدة البيانات بلا أثر، وما زالت في النقاط الأخرى.
   *[other] اختفى { $count } صف من قاعدة البيانات بلا أثر، وما زالت في النقاط الأخرى.
}
    .action = إن لم يكن ذلك مقصودًا فاستعد نسخة احتياطية. وإن كان مقصودًا فأخبر من أعدّ هذه النقطة.
problem-rows-without-key = { $count ->
    [one] لا يمكن تمييز صف واحد من الجدول { $table } فلا يُزامَن: مفتاحه فارغ.
    [two] لا يمكن تمييز صفين من الجدول { $table } فلا يُزامَنان: مفتاحهما فارغ.
    [few] لا يمكن تمييز { $count } صفوف من الجدول { $table } فلا تُزامَن: مفتاحها فارغ.
    [many] لا يمكن تمييز { $count } صفًا من الجدول { $table } فلا تُزامَن: مفتاحها فارغ.
   *[other] لا يمكن تمييز { $count } صف من الجدول { $table } فلا تُزامَن: مفتاحها فارغ.
}
    .action = أعط كل صف منها مفتاحًا خاصًا به في برنامج البيع، أو استثنِ الجدول.
problem-store-restored = استُعيدت قاعدة البيانات من نسخة أقدم؛ ويُجلَب ما فقدته من الخادم من جديد.
    .action = لا حاجة إلى فعل شيء.
problem-away-too-long = غابت هذه النقطة مدة أطول مما يتذكر الخادم المحذوفات؛ فهي تجلب كل شيء من جديد وتحتفظ بتغييراتها.
    .action = لا حاجة إلى فعل شيء.
problem-given-back = عاد صف من { $table } كان قد حُذف في نقطة أخرى: { $why }.
    .action = لا حاجة إلى فعل شيء. احذفه من جديد حين لا يشير إليه شيء.
problem-server-reset = أُعيد ضبط الخادم أو استُعيد من نسخة أقدم.
    .action = أخبر من يدير الخادم. تقارن هذه النقطة وتعيد إرسال ما فقده الخادم.
problem-state = تعذّر استخدام ملف الحالة: { $why }.
    .action = أخلِ بعض المساحة أو أصلح مجلد حالة Tillsync. قاعدة البيانات تحتفظ بكل تغيير.
problem-agent-not-running = ‏Tillsync لا يعمل.
    .action = شغّله من جديد.
problem-rollback-journal = تستخدم قاعدة البيانات سجل تراجع يعطّل فيه القراء والكتّاب بعضهم بعضًا.
    .action = إن وافق مورّد برنامج البيع فحوّل قاعدة البيانات إلى WAL.
problem-set-up-failed = لم ينجح الإعداد: { $why }.
    .action = ارجع وصحّح، ثم أعد المحاولة.
problem-managed = هذا الإعداد حدده المسؤول.
    .action = اطلب منه تغييره.
problem-not-understood = طلب غير مفهوم: { $what }.
    .action = أعد تشغيل Tillsync.
problem-manager-only = القرار للمدير وحده.
    .action = اطلب من المدير إدخال الرمز في الإعدادات.
problem-store-missing = قاعدة البيانات غير موجودة: { $why }.
    .action = شغّل برنامج البيع مرة لينشئها، أو صحّح مكانها.
problem-store-denied = يتعذر فتح قاعدة البيانات: { $why }.
    .action = أعط الحساب الذي يشغّل Tillsync حق القراءة والكتابة على الملف ومجلده.
problem-store-not-a-database = الملف ليس قاعدة بيانات SQLite أو هو مشفَّر: { $why }.
    .action = اختر ملف SQLite لبرنامج البيع. القواعد المشفَّرة لا تُزامَن.
problem-store-corrupt = قاعدة البيانات تالفة: { $why }.
    .action = دع مورّد برنامج البيع يصلحها أو استعد نسخة احتياطية. التغييرات غير المُرسَلة محفوظة.
problem-store-disk-full = القرص ممتلئ: { $why }.
    .action = أخلِ بعض المساحة. لم يضع شيء، وتستمر المزامنة تلقائيًا.
problem-store-incomplete = قاعدة البيانات فارغة أو غير كاملة: { $why }.
    .action = انتظر انتهاء النسخ، أو شغّل برنامج البيع مرة. تُعاد المحاولة تلقائيًا.
problem-store-network-share = قاعدة البيانات على مجلد شبكة: { $why }.
    .action = شغّل Tillsync على الجهاز الذي يحوي قرصه قاعدة البيانات.
problem-store-busy = برنامج البيع يستخدم قاعدة البيانات.
    .action = لا حاجة إلى فعل شيء. تُعاد المحاولة فورًا.
problem-store-owned = يخدم Tillsync آخر قاعدة البيانات هذه: { $why }.
    .action = إن كانت نسخة لنقطة أخرى فأعدّها من جديد، وإلا فأوقف Tillsync الآخر.
problem-store-failed = يتعذر استخدام قاعدة البيانات: { $why }.
    .action = انظر السجل.
